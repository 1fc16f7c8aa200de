// What a person does in the view Echo: the form, the keys, the buttons.
"use strict";

let seconds = 0; // the timer of a line every second

element("form").addEventListener("submit", (event) => {
  event.preventDefault();
  if (line.value !== "" && send(line.value)) line.value = "";
  line.focus();
});

element("every-second").addEventListener("change", (event) => {
  clearInterval(seconds);
  if (!event.target.checked) return;
  let number = 0;
  seconds = setInterval(() => state === "open" && send(`line ${(number += 1)}`), 1000);
});

element("switch").addEventListener("click", () => {
  if (state === "waiting" || state === "closed") {
    connect();
  } else if (state === "open") {
    disconnect();
  }
});

element("copy").addEventListener("click", async () => {
  try {
    await navigator.clipboard.writeText(endpoint); // browsers have it on https and localhost only
    element("copy").textContent = "Copied";
  } catch {
    getSelection().selectAllChildren(element("endpoint"));
    element("copy").textContent = "Selected";
  }
  setTimeout(() => (element("copy").textContent = "Copy"), 2000);
});

window.addEventListener("online", () => state === "waiting" && connect());

element("endpoint").textContent = endpoint;
showPlaces(TRACED_FACTS, subprotocol !== "");
showUnknown(TRACED_FACTS);
