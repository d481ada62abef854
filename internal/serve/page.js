"use strict";
(() => {
  const $ = id => document.getElementById(id);
  const show = v => v === null || v === undefined ? "none" : v.toFixed(4);
  const most = 8; // samples kept beside each other
  const samples = [];
  let number = 0, running = null;

  // busy tells that the server computes, and for how long; the counting is not read aloud.
  function busy(stop) {
    const begun = Date.now(), seconds = document.createElement("span");
    seconds.setAttribute("aria-hidden", "true");
    $("busy").replaceChildren("Scoring … ", seconds);
    const tick = () => { seconds.textContent = ((Date.now() - begun) / 1000).toFixed(1) + " s"; };
    tick();
    const timer = setInterval(tick, 100);
    $("score").disabled = true;
    $("stop").hidden = false;
    $("stop").onclick = stop;
    return done => {
      clearInterval(timer);
      $("score").disabled = false;
      $("stop").hidden = true;
      $("busy").textContent = done ? "Scored in " + ((Date.now() - begun) / 1000).toFixed(1) + " s." : "";
    };
  }

  async function ask(problem, answer, signal) {
    const headers = {"Content-Type": "application/json"};
    if ($("token") && $("token").value) headers.Authorization = "Bearer " + $("token").value;
    const reply = await fetch("page/trace", {method: "POST", headers, signal, body: JSON.stringify({problem, answer, number: number + 1})});
    const got = await reply.json();
    if (!reply.ok) throw new Error(got.error ? got.error.message : reply.statusText);
    return got;
  }

  // draw puts the samples under each other, the newest first. Their HTML was written by the server, which escapes every text.
  function draw() {
    const box = $("browser").content.cloneNode(true).firstElementChild;
    for (const s of samples) {
      const holder = document.createElement("template");
      holder.innerHTML = s.html;
      box.querySelector(".pair").append(holder.content);
    }
    $("traces").replaceChildren(box);
    goprm.attach($("traces"));
  }

  async function score(event) {
    if (event) event.preventDefault();
    if (running) return;
    $("error").textContent = "";
    running = new AbortController();
    const end = busy(() => running.abort());
    const problem = $("problem").value, answer = $("answer").value;
    let done = false;
    try {
      const got = await ask(problem, answer, running.signal);
      number++;
      samples.unshift(got);
      samples.length = Math.min(samples.length, most);
      for (const name of ["reward", "mean", "trajectory"]) $(name).textContent = show(got[name]);
      $("count").textContent = got.steps;
      $("result").hidden = false;
      draw();
      done = true;
    } catch (e) {
      $("error").textContent = e.name === "AbortError" ? "Stopped." : e.message;
    } finally {
      running = null;
      end(done);
    }
  }

  // A file is a text, or rows with a problem and an answer under the names that data sets use.
  const first = (row, names) => names.map(n => row[n]).find(v => typeof v === "string" && v !== "") || "";
  function texts(row) {
    const joined = v => Array.isArray(v) ? v.map(s => typeof s === "string" ? s : s && s.text || "").join("\n\n") : "";
    const thinking = first(row, ["thinking", "reasoning", "reasoning_content"]) || joined(row.response_steps ? row.steps : null);
    const response = first(row, ["response", "completion", "output", "solution"]) || joined(row.response_steps || row.steps) || first(row, ["answer"]);
    return {problem: first(row, ["problem", "question", "prompt", "instruction", "query"]), answer: (thinking ? "<think>\n" + thinking + "\n</think>\n\n" : "") + response};
  }
  let rows = [];
  async function take(file) {
    $("error").textContent = "";
    try {
      if (file.size > 16 << 20) throw new Error("the file has more than 16 MiB; cut it first");
      const text = await file.text();
      if (!/\.jsonl?$/.test(file.name)) {
        rows = [];
        $("answer").value = text;
      } else {
        let list;
        try { list = [].concat(JSON.parse(text)); } catch { list = text.split("\n").filter(l => l.trim()).map(l => JSON.parse(l)); }
        rows = list.slice(0, 1000).map(texts);
        $("row").replaceChildren(...rows.map((r, i) => new Option((i + 1) + ": " + r.problem.slice(0, 60), String(i))));
        pick(0);
      }
      $("rowlabel").hidden = rows.length < 2;
    } catch (e) {
      $("error").textContent = file.name + ": " + e.message;
    }
  }
  function pick(i) {
    if (!rows[i]) return;
    $("problem").value = rows[i].problem;
    $("answer").value = rows[i].answer;
  }

  $("form").addEventListener("submit", score);
  $("file").addEventListener("change", () => $("file").files[0] && take($("file").files[0]));
  $("row").addEventListener("change", () => pick(Number($("row").value)));
  for (const name of ["dragenter", "dragover"]) addEventListener(name, e => { e.preventDefault(); document.body.classList.add("dropping"); });
  for (const name of ["dragleave", "drop"]) addEventListener(name, () => document.body.classList.remove("dropping"));
  addEventListener("drop", e => { e.preventDefault(); if (e.dataTransfer.files[0]) take(e.dataTransfer.files[0]); });
  $("example").addEventListener("click", () => {
    $("problem").value = "A box holds 3 red and 2 blue balls. Two are drawn without putting them back. What is the probability that both are red?";
    $("answer").value = "<think>\nThe first ball is red with probability \\( \\frac{3}{5} \\).\n\nThen 2 of the 4 balls left are red: \\( \\frac{2}{4} = \\frac{1}{2} \\).\n\nSo the product is \\( \\frac{3}{5} \\cdot \\frac{1}{2} = \\frac{3}{8} \\).\n\nWait, \\( 5 \\cdot 2 = 10 \\), so it is \\( \\frac{3}{10} \\).\n</think>\n\nBoth are red with probability\n\\[ \\frac{3}{5} \\cdot \\frac{2}{4} = \\frac{3}{10}. \\]\n\n**Answer:** \\( \\boxed{\\frac{3}{10}} \\)";
  });
  $("link").addEventListener("click", async () => {
    history.replaceState(null, "", "#" + new URLSearchParams({problem: $("problem").value, answer: $("answer").value}));
    try { await navigator.clipboard.writeText(location.href); $("busy").textContent = "The link is copied, and in the address bar."; } catch { $("busy").textContent = "The link is in the address bar."; }
  });
  // A link may bring the texts: #problem=...&answer=...
  function given() {
    const link = new URLSearchParams(location.hash.slice(1));
    if (!link.has("problem")) return;
    $("problem").value = link.get("problem");
    $("answer").value = link.get("answer") || "";
    score();
  }
  addEventListener("hashchange", given);
  given();
})();
