# The workflow is workflow/Snakefile, where its catalogue and snakedeploy look. With this file,
# `snakemake -s PROJECT/Snakefile` and `snakefile: "PROJECT/Snakefile"` of a module run it, too.
include: "workflow/Snakefile"


# An included file cannot set the default target, and a module may rename the rule.
workflow.default_target = workflow.modifier.modify_rulename("all")
