"use strict";
// A click on an example, or Enter on it, opens its images as large as the window; Escape or a click closes them.
(() => {
  const figures = document.querySelectorAll(".gallery figure");
  if (!figures.length) return;
  const large = document.createElement("dialog");
  large.addEventListener("click", () => large.close());
  document.body.append(large);
  for (const figure of figures) {
    figure.setAttribute("role", "button");
    figure.setAttribute("tabindex", "0");
    const open = () => {
      const heading = figure.closest(".gallery").previousElementSibling.textContent;
      large.setAttribute("aria-label", heading);
      large.replaceChildren(figure.querySelector("figcaption").cloneNode(true), figure.querySelector(".triple").cloneNode(true));
      for (const picture of large.querySelectorAll("img")) {
        const said = picture.nextElementSibling.textContent;
        picture.nextElementSibling.textContent = said === "magnified" ? picture.alt : `${picture.alt}: ${said}`;
      }
      large.firstChild.prepend(`${heading} · `);
      large.showModal();
    };
    figure.addEventListener("click", open);
    figure.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" && event.key !== " ") return;
      event.preventDefault();
      open();
    });
  }
})();
