"""One file per extractor, of the extractor's name; each holds VERSION and the class Extractor."""
