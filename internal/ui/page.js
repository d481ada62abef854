"use strict";
(() => {
  const $ = id => document.getElementById(id);
  const least = 2000; // milliseconds between two questions
  let tag = "", timer = 0, asking = false;

  const chosen = () => new URLSearchParams(location.hash.slice(1)).getAll("run");

  function list(runs, names, more) {
    const signs = {running: "● running", complete: "✓ complete", stopped: "■ stopped"};
    $("runs").replaceChildren(...runs.map(r => {
      const item = document.createElement("li"), label = document.createElement("label"), box = document.createElement("input"), state = document.createElement("span");
      box.type = "checkbox";
      box.value = r.name;
      box.checked = names.includes(r.name);
      box.disabled = !box.checked && names.length >= Number($("runs").dataset.most);
      state.className = "state " + r.state;
      state.textContent = signs[r.state] || r.state;
      label.append(box, r.name + " ", state);
      item.append(label);
      return item;
    }));
    if (more) {
      const item = document.createElement("li");
      item.textContent = more + " older ones are not listed";
      $("runs").append(item);
    }
  }

  // draw replaces the content; tables that were opened stay open, and a checkbox keeps the focus. The HTML was written by the server, which escapes every text.
  function draw(answer) {
    const open = Array.from($("content").querySelectorAll("details[open] > summary")).map(s => s.textContent);
    const focus = document.activeElement.type === "checkbox" ? document.activeElement.value : null;
    list(answer.runs, answer.chosen, answer.more);
    if (focus !== null) Array.from($("runs").querySelectorAll("input")).filter(b => b.value === focus).forEach(b => b.focus());
    $("content").innerHTML = answer.html;
    $("content").querySelectorAll("details > summary").forEach(s => { s.parentNode.open = open.includes(s.textContent); });
    $("error").textContent = (answer.refused || []).join(" · ");
    $("state").textContent = answer.runs.length === 0 ? "No run yet; this page shows the first as soon as it begins." :
      answer.runs.length + (answer.runs.length === 1 ? " run, " : " runs, ") + answer.runs.filter(r => r.state === "running").length + " running";
  }

  async function ask() {
    if (asking) return;
    asking = true;
    clearTimeout(timer);
    const begun = Date.now(), names = chosen();
    try {
      const reply = await fetch("runs?" + new URLSearchParams(names.map(n => ["run", n])), {headers: tag ? {"If-None-Match": tag} : {}, cache: "no-store"});
      if (reply.status !== 304) {
        if (!reply.ok) throw new Error(await reply.text());
        tag = reply.headers.get("ETag") || "";
        draw(await reply.json());
      }
    } catch (e) {
      tag = "";
      $("error").textContent = "The server does not answer: " + e.message;
    }
    asking = false;
    timer = setTimeout(ask, chosen().join("\n") !== names.join("\n") ? 0 : Math.max(least, 4 * (Date.now() - begun)));
  }

  $("runs").addEventListener("change", () => {
    const names = Array.from($("runs").querySelectorAll("input:checked")).map(b => b.value);
    tag = "";
    location.hash = new URLSearchParams(names.map(n => ["run", n]));
  });
  addEventListener("hashchange", () => { tag = ""; ask(); });
  document.addEventListener("visibilitychange", () => { if (!document.hidden) ask(); });
  ask();
})();
