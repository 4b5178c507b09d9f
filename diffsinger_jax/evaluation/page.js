// One player sounds at a time. Another take of the same piece goes on where the last one stood,
// so that two can be compared in the middle of a note; a click on a spectrogram seeks.
"use strict";

const clock = (seconds) => {
  const tenths = Math.round(seconds * 10);
  return `${Math.floor(tenths / 600)}:${String(Math.floor(tenths / 10) % 60).padStart(2, "0")}.${tenths % 10}`;
};
let current = null; // the row that sounds

for (const piece of document.querySelectorAll(".piece")) {
  const length = Number(piece.dataset.seconds);
  const head = piece.querySelector(".head");
  const tracks = piece.querySelector(".tracks");
  let position = 0;

  const show = (seconds) => {
    position = seconds;
    piece.classList.add("heard");
    const label = piece.querySelector(".label").offsetWidth;
    const width = piece.querySelector(".stack").offsetWidth - label;
    const left = label + (width * Math.min(seconds, length)) / length;
    head.style.left = `${left}px`;
    const shown = tracks.clientWidth - label; // of a song that is longer than the page is wide
    if (left - label < tracks.scrollLeft || left - label > tracks.scrollLeft + shown) {
      tracks.scrollLeft = left - label - 40;
    }
  };

  for (const row of piece.querySelectorAll(".row.take")) {
    const audio = row.querySelector("audio");
    const time = row.querySelector(".time");
    const measure = () => {
      if (!Number.isFinite(audio.duration)) return;
      row.dataset.duration = audio.duration.toFixed(3);
      time.textContent = clock(audio.duration);
    };
    const follow = () => {
      if (current !== row) return;
      show(audio.currentTime);
      requestAnimationFrame(follow);
    };
    const stop = () => {
      audio.pause();
      row.classList.remove("playing");
      if (current === row) current = null;
    };
    row.stop = stop;
    const play = (seconds) => {
      if (current && current !== row) current.stop();
      audio.currentTime = seconds < length - 0.05 ? seconds : 0;
      current = row;
      row.classList.add("playing");
      audio.play().then(follow, stop);
    };
    audio.addEventListener("loadedmetadata", measure);
    audio.addEventListener("ended", () => { stop(); position = 0; });
    if (audio.readyState >= 1) measure();
    row.querySelector("button").addEventListener("click", () => {
      if (current === row) stop();
      else play(position);
    });
    row.querySelector(".track").addEventListener("click", (event) => {
      const box = event.currentTarget.getBoundingClientRect();
      play((length * (event.clientX - box.left)) / box.width);
    });
  }
}
