"use strict";
// Values of figures: on hover, and with the arrow keys in a focused figure.
(() => {
  const tip = document.getElementById("tip");
  if (!tip) return;
  let shown = null;
  const hide = () => {
    if (shown) shown.classList.remove("shown");
    shown = null;
    tip.hidden = true;
  };
  const show = (mark) => {
    hide();
    shown = mark;
    mark.classList.add("shown");
    tip.textContent = mark.dataset.tip;
    tip.hidden = false;
    const box = mark.getBoundingClientRect(), width = tip.offsetWidth;
    const left = Math.min(Math.max(8, box.left + box.width / 2 - width / 2), document.documentElement.clientWidth - width - 8);
    const above = box.top - tip.offsetHeight - 8;
    tip.style.left = `${left + scrollX}px`;
    tip.style.top = `${(above > 0 ? above : box.bottom + 8) + scrollY}px`;
  };
  for (const figure of document.querySelectorAll("svg.figure[tabindex]")) {
    const marks = [...figure.querySelectorAll("[data-tip]")];
    figure.addEventListener("pointerover", (event) => {
      const mark = event.target.closest("[data-tip]");
      if (mark) show(mark); else hide();
    });
    figure.addEventListener("pointerleave", hide);
    figure.addEventListener("focus", () => { if (figure.matches(":focus-visible")) show(marks[0]); });
    figure.addEventListener("blur", hide);
    figure.addEventListener("keydown", (event) => {
      if (event.key === "Escape") hide();
      const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
      if (!step) return;
      event.preventDefault();
      show(marks[(marks.indexOf(shown) + step + marks.length) % marks.length]);
    });
  }
})();
