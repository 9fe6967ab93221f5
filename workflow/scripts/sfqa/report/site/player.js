"use strict";
// Two players are shared by the whole site, because browsers limit their number.
(() => {
  const { h } = SFQA;
  const players = [0, 1].map(() => {
    const video = h("video", { controls: true, playsInline: true, loop: false });
    video.preload = "none";
    const note = h("p", { class: "trouble", role: "status", hidden: true });
    video.addEventListener("error", () => {
      if (!video.hasAttribute("src")) return;
      note.textContent = "The video cannot be played. Its path relative to this page is shown below: keep the site inside its dataset's folder, or make a site that includes its videos with sfqa site --sample.";
      note.append(h("code", {}, video.getAttribute("src").slice(0, 300)));
      note.hidden = false;
    });
    return { video, note, box: h("div", { class: "player" }, video, note) };
  });

  /** Player 0 or 1 with a sample's video; nothing is loaded until it is started. */
  SFQA.player = (slot, i) => {
    const { samples } = SFQA.have, { video, note, box } = players[slot];
    const address = samples.video[i];
    release(players[slot]);
    if (address === null) return h("div", { class: "player none" }, h("p", {}, SFQA.have.meta.videos ? "This sample has no video here." : "This dataset has no videos."));
    const image = SFQA.text(samples.image, i), { width, height } = samples.measures;
    if (image !== null) video.poster = image;
    else video.removeAttribute("poster");
    box.style.aspectRatio = width && width[i] && height[i] ? `${width[i]} / ${height[i]}` : "1";
    video.setAttribute("aria-label", samples.id[i]);
    waiting.set(video, address);
    video.muted = false;
    note.hidden = true;
    return box;
  };

  // Chromium shows its loading spinner longer if src is set before the player is on the page.
  const waiting = new Map();
  SFQA.showPlayers = () => {
    for (const [video, address] of waiting) video.setAttribute("src", address);
    waiting.clear();
  };

  function release({ video, note }) {
    waiting.delete(video);
    video.pause();
    note.hidden = true;
    if (video.hasAttribute("src")) { video.removeAttribute("src"); video.load(); }
  }
  SFQA.releasePlayers = () => players.forEach(release);

  /** Start both from the beginning, with the sound of the first only. */
  SFQA.playBoth = () => {
    players[1].video.muted = true;
    for (const { video } of players) {
      if (!video.hasAttribute("src")) continue;
      video.currentTime = 0;
      video.play().catch(() => { /* the player's own note says it */ });
    }
  };
  SFQA.pauseBoth = () => players.forEach(({ video }) => video.pause());
  SFQA.players = players.map(one => one.video);
})();
