"use strict";
// goprm.attach(element) brings the browsers of trajectories in an element to life. Without it a page shows everything in the order it was written.
const goprm = (() => {
  const all = (root, selector) => Array.from(root.querySelectorAll(selector));
  const number = (li, name) => li.hasAttribute("data-" + name) ? Number(li.getAttribute("data-" + name)) : NaN;

  // A trace is one trajectory with its steps in the order they were written.
  function trace(element) {
    const list = element.querySelector("ol.steps");
    return {element, list, rows: Array.from(list.children), steps: all(list, "li.step"), cursor: element.querySelector(".cursor"), texts: null};
  }

  // What can be searched: the text as it is seen, and the formulas as they were written.
  function textOf(t, i) {
    t.texts = t.texts || t.steps.map(li => (li.querySelector(".text").textContent + " " + all(li, "math").map(m => m.getAttribute("alttext")).join(" ")).toLowerCase());
    return t.texts[i];
  }

  function reach(li) {
    li.focus({preventScroll: true});
    li.scrollIntoView({block: "start"});
  }

  function browser(box) {
    const tool = name => box.querySelector(".tools ." + name);
    const pair = box.querySelector(".pair");
    const traces = all(pair, ".trace").map(trace);
    const seen = new IntersectionObserver(changes => changes.forEach(c => { c.target.inSight = c.isIntersecting; }), {rootMargin: "-90px 0px -40% 0px"});
    let shown = traces.slice(0, 1);

    function options(select, none) {
      const chosen = select.value;
      const first = shown[0] && shown[0].element.dataset.group;
      const list = traces.map((t, i) => ({i, name: t.element.querySelector(".name").textContent, kin: none && first !== "" && t.element.dataset.group === first}));
      if (none) list.sort((a, b) => b.kin - a.kin || a.i - b.i);
      const made = list.filter(o => !none || traces[o.i] !== shown[0]).map(o => new Option(o.name + (o.kin ? " (same problem)" : ""), String(o.i)));
      select.replaceChildren(...(none ? [new Option("none", "")] : []), ...made);
      select.value = chosen;
      if (select.selectedIndex < 0) select.selectedIndex = 0;
    }

    // order puts the rows of a trace into the order asked for; headings of parts make sense only in the order they were written in.
    function order(t, by) {
      let rows = t.rows;
      if (by) {
        const key = li => by === "gap" ? -number(li, "gap") : number(li, "value");
        rows = t.rows.filter(li => !t.steps.includes(li)).concat([...t.steps].sort((a, b) => {
          const x = key(a), y = key(b);
          return isNaN(x) ? (isNaN(y) ? 0 : 1) : isNaN(y) ? -1 : x - y;
        }));
      }
      if (t.by !== by) t.list.replaceChildren(...rows);
      t.by = by;
    }

    function filter(t) {
      const only = tool("only").value, find = tool("find").value.trim().toLowerCase(), thinking = tool("thinking").checked;
      let lowest = null;
      if (only === "ten") lowest = new Set(t.steps.filter(li => li.dataset.value).sort((a, b) => number(a, "value") - number(b, "value")).slice(0, 10));
      let count = 0;
      t.steps.forEach((li, i) => {
        const here = (thinking || li.dataset.part !== "thinking") && (!find || textOf(t, i).includes(find)) &&
          (only === "" || (lowest ? lowest.has(li) : li.hasAttribute("data-" + only)));
        li.hidden = !here;
        count += here;
      });
      t.rows.forEach(li => { if (li.classList.contains("part")) li.hidden = !!t.by || !thinking && li.dataset.part === "thinking"; });
      return count;
    }

    function apply() {
      traces.forEach(t => { t.element.hidden = !shown.includes(t); });
      shown.forEach(t => { t.element.open = true; pair.append(t.element); });
      pair.classList.toggle("two", shown.length > 1);
      const counts = shown.map(t => { order(t, tool("order").value); return filter(t) + " of " + t.steps.length; });
      tool("status").textContent = counts.join(" and ") + " steps";
      all(pair, ".jump").forEach(j => { j.hidden = false; });
    }

    function choose() {
      if (tool("which")) {
        shown = [traces[Number(tool("which").value)]];
        options(tool("beside"), true);
        if (tool("beside").value !== "") shown.push(traces[Number(tool("beside").value)]);
      }
      apply();
    }

    // jump goes to the next visible step that passes the test, from the one in focus or else the first in sight.
    function jump(t, by, passes) {
      const list = Array.from(t.list.children).filter(li => li.classList.contains("step") && !li.hidden);
      let at = list.indexOf(document.activeElement.closest ? document.activeElement.closest("li.step") : null);
      if (at < 0) at = list.findIndex(li => li.inSight) - (by > 0 ? 1 : 0);
      for (let i = at + by; i >= 0 && i < list.length; i += by) {
        if (passes(list[i])) return reach(list[i]);
      }
      tool("status").textContent = by > 0 ? "none after this one" : "none before this one";
    }

    const wrong = li => li.hasAttribute("data-wrong");
    function keys(event) {
      if (event.ctrlKey || event.metaKey || event.altKey || /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName)) return;
      const t = shown.find(s => s.element.contains(event.target)) || shown[0];
      const act = {n: () => jump(t, 1, wrong), p: () => jump(t, -1, wrong), j: () => jump(t, 1, () => true), k: () => jump(t, -1, () => true), "/": () => tool("find").focus()}[event.key];
      if (!act) return;
      event.preventDefault();
      act();
    }

    // The curve's cursor stands at the first step in sight; a click on the curve goes to a step.
    function follow(t) {
      const at = t.steps.findIndex(li => li.inSight && !li.hidden);
      if (t.cursor) t.cursor.setAttribute("x", at < 0 ? -9 : at);
    }
    traces.forEach(t => {
      t.steps.forEach(li => seen.observe(li));
      const curve = t.element.querySelector(".curve");
      if (!curve) return;
      curve.querySelector("svg").addEventListener("click", event => {
        const area = event.currentTarget.getBoundingClientRect();
        const li = t.steps[Math.min(t.steps.length - 1, Math.floor((event.clientX - area.left) / area.width * t.steps.length))];
        if (li.hidden) clear();
        reach(li);
      });
      curve.querySelector(".next").addEventListener("click", () => jump(t, 1, wrong));
      curve.querySelector(".previous").addEventListener("click", () => jump(t, -1, wrong));
    });
    let waiting = false;
    const scrolled = () => {
      if (waiting) return;
      waiting = true;
      requestAnimationFrame(() => { waiting = false; shown.forEach(follow); });
    };
    addEventListener("scroll", scrolled, {passive: true});
    box.addEventListener("focusin", scrolled);

    function clear() {
      tool("find").value = tool("only").value = tool("order").value = "";
      tool("thinking").checked = true;
      apply();
    }

    // show opens the trajectory that holds an element.
    function show(target) {
      const i = traces.findIndex(t => t.element.contains(target));
      if (tool("which") && !shown.includes(traces[i])) {
        tool("which").value = String(i);
        tool("beside").value = "";
        choose();
      }
      if (target.hidden) clear();
      if (target.matches("li.step")) reach(target);
    }

    box.addEventListener("keydown", keys);
    for (const name of ["order", "only", "thinking"]) tool(name).addEventListener("change", apply);
    tool("find").addEventListener("input", apply);
    if (tool("which")) {
      options(tool("which"), false);
      for (const name of ["which", "beside"]) tool(name).addEventListener("change", choose);
    }
    if (!traces.some(t => t.steps.some(li => li.dataset.part === "thinking"))) tool("thinking").closest("label").hidden = true;
    tool("status").parentNode.hidden = false;
    choose();
    return {box, show, clear};
  }

  let browsers = [];
  function byHash() {
    let target = null;
    try { target = document.getElementById(decodeURIComponent(location.hash.slice(1))); } catch { return; }
    const b = target && browsers.find(b => b.box.contains(target));
    if (b && target.closest(".trace")) b.show(target);
  }
  function attach(root) {
    browsers = browsers.filter(b => b.box.isConnected).concat(all(root, ".traces").filter(box => box.querySelector(".trace") && !browsers.some(b => b.box === box)).map(browser));
    byHash();
  }
  addEventListener("hashchange", byHash);
  return {attach};
})();
goprm.attach(document);
