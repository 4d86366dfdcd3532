// The page from top to bottom.

document.getElementById("title").textContent = DATA.title;
document.getElementById("subtitle").textContent = `${DATA.program} · ${DATA.made.replace("T", " ").slice(0, 16)}`;
showSummary();
const view = showScene();
showStages();
showImages();
showPairs(DATA.scene && (() => placesFromAbove(DATA.scene)));
showPictures();
showHistograms();
showSettings();
const said = `Made by ${DATA.program}. This file needs no network and sends nothing.`;
document.getElementById("content").append(el("footer", {}, said));
document.getElementById("details").addEventListener("click", (event) => {
  if (event.target === event.currentTarget) event.target.close();  // beside the dialog
});
window.reconstructionReport = { view, data: DATA };
