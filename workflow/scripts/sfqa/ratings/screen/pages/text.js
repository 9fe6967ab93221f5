// Texts of the pages in English and Chinese. Texts of the study come from the server.
const words = {
  en: {
    other: "中文", language: "Language", theme: "Light or dark", saved: "Saved",
    session: (n, of) => of > 1 ? `Session ${n} of ${of}` : "Videos",
    progress: (done, of) => `${done} of ${of} rated`,
    hello: "Thank you for taking part",
    welcome: "You will watch short videos of singing and talking faces that a computer made from one picture and one recording, and say how good they are. There is no right or wrong: your own impression counts.",
    steps: ["Use headphones or good loudspeakers, and a quiet place.", "Watch each video to its end. You may watch it again.", "Rate it on every scale. Use the whole scale."],
    sound: "Test the sound", soundHint: "You should hear three notes.",
    about: "About you", choose: "Choose", optional: "optional",
    consent: "I take part of my own free will and can stop at any time. My ratings and technical details of the playing (no names, no addresses) are stored and used for research.",
    stop: ". ", agree: "I agree", start: "Start", begin: "Begin", resume: "Continue", back: "Welcome back",
    backText: (done, of) => `Your ratings are all here: ${done} of ${of} in this session. Go on where you stopped.`,
    scales: "What you rate", videos: (n, minutes) => `${n} videos, about ${minutes} ${minutes === 1 ? "minute" : "minutes"}, with breaks`,
    trainingFirst: "The first videos are for training.",
    keys: "Keys", keyList: points => [["Space", "play"], [`1 – ${points}`, "rate"], ["← →", "move"], ["Tab", "next scale"], ["Enter", "save"]],
    training: "Training", trainingText: "These first videos show what to expect, from very poor to very good. Try the scales: the left end is for the worst, the right end for the best. Your answers do not count yet.",
    trainingOver: "The training is over", trainingOverText: "From now on your ratings count.",
    image: "Reference", clip: "Recording", prompt: "Text", playClip: "Play the recording", stopClip: "Stop the recording",
    languages: { zh: "Chinese", en: "English", ja: "Japanese", ko: "Korean", fr: "French", de: "German", es: "Spanish", it: "Italian", ru: "Russian" },
    video: "Video to rate", play: "Play", again: "Watch again", loading: "Loading", left: n => n === 1 ? "one more time" : `${n} more times`,
    watch: "Watch the video to its end, then rate it.", rate: "Now rate the video.", ready: "All rated.",
    unrated: "not rated yet", meaning: "What the points mean", missing: names => `Still to rate: ${names}`,
    save: "Save and continue", saving: "Saving …", problem: "Something wrong with this video?", problemHint: "For example: no sound, it stuttered",
    brokenVideo: "This video cannot be played here.", retry: "Try again", continuePlay: "Go on",
    offline: "No connection. Your rating is kept here and sent again by itself; do not close this page.",
    retrying: "No connection. Trying again …",
    breakTitle: "Time for a break", breakText: "Look into the distance, stand up, drink some water.", breakOver: "The break is over.",
    pausedTitle: "The study is paused", pausedText: "Everything is saved. This page goes on by itself.",
    finished: "All done. Thank you!", finishedText: n => `You rated ${n} videos. Everything is saved; you can close this page.`,
    sessionDone: "Session finished", sessionDoneText: "Everything is saved. Go on with the next session after a longer rest, today or another day, with the same link.",
    contact: "Questions", gone: "This link does not work any more.", fault: "Something went wrong. Please load the page again.",
  },
  zh: {
    other: "English", language: "语言", theme: "浅色或深色", saved: "已保存",
    session: (n, of) => of > 1 ? `第 ${n} 场，共 ${of} 场` : "视频",
    progress: (done, of) => `已评 ${done} / ${of}`,
    hello: "感谢您的参与",
    welcome: "您将观看一些由计算机根据一张图片和一段录音生成的人脸演唱或说话短视频，并评价其质量。答案没有对错，请根据您自己的感受作答。",
    steps: ["请使用耳机或较好的音箱，并选择安静的环境。", "请将每段视频看完，可以重复观看。", "请在每个量表上评分，并充分使用整个量表。"],
    sound: "测试声音", soundHint: "您应能听到三个音。",
    about: "关于您", choose: "请选择", optional: "选填",
    consent: "我自愿参加，并可随时退出。我的评分和播放的技术信息（不含姓名和地址）将被保存并用于研究。",
    stop: "。", agree: "我同意", start: "开始", begin: "开始", resume: "继续", back: "欢迎回来",
    backText: (done, of) => `您的评分都已保存：本场已完成 ${done} / ${of}。请从上次停下的地方继续。`,
    scales: "评分内容", videos: (n, minutes) => `${n} 段视频，约 ${minutes} 分钟，中间有休息`,
    trainingFirst: "最前面的几段视频用于练习。",
    keys: "快捷键", keyList: points => [["空格", "播放"], [`1 – ${points}`, "评分"], ["← →", "移动"], ["Tab", "下一量表"], ["Enter", "保存"]],
    training: "练习", trainingText: "这几段视频展示了从很差到优秀的各种质量。请试用量表：最左端表示最差，最右端表示最好。练习的评分不计入结果。",
    trainingOver: "练习结束", trainingOverText: "从现在起，您的评分将计入结果。",
    image: "参考图片", clip: "录音", prompt: "文本", playClip: "播放录音", stopClip: "停止录音",
    languages: { zh: "中文", en: "英文", ja: "日文", ko: "韩文", fr: "法文", de: "德文", es: "西班牙文", it: "意大利文", ru: "俄文" },
    video: "待评视频", play: "播放", again: "再看一遍", loading: "正在加载", left: n => `还可看 ${n} 次`,
    watch: "请先看完视频，再评分。", rate: "请为视频评分。", ready: "已全部评分。",
    unrated: "尚未评分", meaning: "各分值的含义", missing: names => `尚未评分：${names}`,
    save: "保存并继续", saving: "正在保存……", problem: "视频有问题？", problemHint: "例如：没有声音、播放卡顿",
    brokenVideo: "此视频无法播放。", retry: "重试", continuePlay: "继续播放",
    offline: "网络已断开。您的评分保留在本页面，恢复后会自动发送，请勿关闭页面。",
    retrying: "网络已断开，正在重试……",
    breakTitle: "休息一下", breakText: "请看看远处，站起来活动一下，喝点水。", breakOver: "休息结束。",
    pausedTitle: "实验已暂停", pausedText: "所有评分均已保存，恢复后页面会自动继续。",
    finished: "全部完成，谢谢您！", finishedText: n => `您一共评价了 ${n} 段视频。所有评分均已保存，可以关闭页面。`,
    sessionDone: "本场结束", sessionDoneText: "所有评分均已保存。请充分休息后，在今天或其他日子用同一链接继续下一场。",
    contact: "如有疑问", gone: "此链接已失效。", fault: "出现错误，请重新加载页面。",
  },
};

let now = "en";

export const language = () => now;

export function speak(chosen) {
  now = words[chosen] ? chosen : "en";
  document.documentElement.lang = now === "zh" ? "zh-Hans" : now;
}

// A text of the page; with arguments the result of its function.
export const t = (key, ...given) => given.length ? words[now][key](...given) : words[now][key];

// A text of the study in the current language.
export const of = texts => texts ? texts[now] ?? Object.values(texts)[0] : "";
