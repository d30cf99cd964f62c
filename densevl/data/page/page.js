"use strict";
/* A page of pictures with layers over them. Names reach the document as text only, never as markup. */
(() => {
  const page = JSON.parse(document.getElementById("data").textContent);
  const $ = (id) => document.getElementById(id);
  const root = document.documentElement;
  const on = page.groups.map(() => true);
  const MOST_LOADED = 80, CARD = 480, LARGE = 1600, ROWS = 100;

  function element(tag, properties = {}, ...children) {
    const made = Object.assign(document.createElement(tag), properties);
    made.append(...children);
    return made;
  }
  const css = (colour) => `rgb(${colour.join(" ")})`;
  function swatch(group) {
    const made = element("i", { className: "swatch" });
    made.style.setProperty("--colour", css(page.groups[group].colour));
    return made;
  }

  /* Layers: scripts that put runs into self.layers, so that they load from a folder without a server. */
  const loaded = new Map();
  function load(source) {
    const known = loaded.get(source);
    loaded.delete(source);
    loaded.set(source, known ?? fetched(source));
    for (const old of loaded.keys()) {
      if (loaded.size <= MOST_LOADED) break;
      loaded.delete(old);
    }
    return loaded.get(source);
  }
  function fetched(source) {
    return new Promise((resolve, reject) => {
      const script = element("script", { src: source });
      script.onload = () => {
        const layer = self.layers?.[source];
        delete self.layers?.[source];
        script.remove();
        layer ? resolve(new Layer(layer)) : reject(new Error(source));
      };
      script.onerror = () => reject(new Error(source));
      document.head.append(script);
    });
  }

  class Runs {
    constructor(pairs) {
      this.values = pairs.filter((_, i) => i % 2 === 0);
      this.ends = new Uint32Array(this.values.length);
      for (let i = 0, end = 0; i < this.ends.length; i++) this.ends[i] = end += pairs[2 * i + 1];
    }
    index(place) {
      let low = 0, high = this.ends.length - 1;
      while (low < high) {
        const middle = (low + high) >> 1;
        if (this.ends[middle] > place) high = middle; else low = middle + 1;
      }
      return low;
    }
    at(place) { return this.values[this.index(place)]; }
  }

  class Layer {
    constructor({ size, runs, regions }) {
      this.size = size;
      this.runs = runs && new Runs(runs);
      this.regions = regions?.map((region) => ({ ...region, runs: region.runs && new Runs(region.runs) }));
    }
    /* The groups that it shows. */
    present() {
      const found = this.runs ? this.runs.values.map((value) => value - 1) : this.regions.map((one) => one.group);
      return [...new Set(found)].filter((group) => group >= 0).sort((one, two) => one - two);
    }
    /* The names under a point of the picture, the nearest first. */
    under(x, y) {
      const place = y * this.size[1] + x;
      if (this.runs) {
        const group = this.runs.at(place) - 1;
        return group < 0 || !on[group] ? [] : [{ group, text: page.groups[group].name }];
      }
      return this.regions.filter((one) => on[one.group] && inside(one, x, y, place)).reverse();
    }
    draw(canvas, longest) {
      const [height, width] = this.size, factor = Math.min(this.runs ? 1 : 4, longest / Math.max(height, width));
      canvas.height = Math.max(1, Math.round(height * factor));
      canvas.width = Math.max(1, Math.round(width * factor));
      const pen = canvas.getContext("2d");
      if (this.runs) {
        this.fill(pen, this.runs, (value) => (value && on[value - 1] ? page.groups[value - 1].colour : null), 255);
        return;
      }
      for (const region of this.regions) if (on[region.group]) this.outline(pen, region);
    }
    fill(pen, runs, colourOf, alpha) {
      const { width, height } = pen.canvas, [rows, columns] = this.size;
      const pixels = pen.createImageData(width, height), { data } = pixels;  // nothing is read back: browsers blur that
      for (let y = 0, to = 0; y < height; y++) {
        const start = Math.min(rows - 1, Math.floor((y + 0.5) * rows / height)) * columns;
        let run = runs.index(start), colour = colourOf(runs.values[run]);
        for (let x = 0; x < width; x++, to += 4) {
          const place = start + Math.min(columns - 1, Math.floor((x + 0.5) * columns / width));
          if (place >= runs.ends[run]) {
            while (place >= runs.ends[run]) run++;
            colour = colourOf(runs.values[run]);
          }
          if (colour) [data[to], data[to + 1], data[to + 2], data[to + 3]] = [...colour, alpha];
        }
      }
      const filled = element("canvas", { width, height });
      filled.getContext("2d").putImageData(pixels, 0, 0);
      pen.drawImage(filled, 0, 0);
    }
    outline(pen, { group, box, runs, text }) {
      const { width, height } = pen.canvas, scale = width / this.size[1], { colour } = page.groups[group];
      if (runs) this.fill(pen, runs, (value) => (value ? colour : null), 70);
      const line = Math.max(1.5, Math.min(width, height) / 180);
      const [x0, y0, x1, y1] = box.map((value) => value * scale);
      for (const [style, thick] of [["rgb(20 20 20)", line + 2], [css(colour), line]]) {
        pen.strokeStyle = style;
        pen.lineWidth = thick;
        pen.strokeRect(x0 + line / 2, y0 + line / 2, Math.max(1, x1 - x0 - line), Math.max(1, y1 - y0 - line));
      }
      const size = Math.max(11, Math.min(width, height) / 32);
      pen.font = `600 ${size}px system-ui, "DejaVu Sans", sans-serif`;
      pen.textBaseline = "middle";
      const wide = pen.measureText(text).width + size * 0.8, high = size * 1.4;
      const left = Math.max(0, Math.min(x0, width - wide)), top = Math.max(0, Math.min(y0, height - high));
      pen.fillStyle = css(colour);
      pen.fillRect(left, top, wide, high);
      pen.fillStyle = 0.3 * colour[0] + 0.59 * colour[1] + 0.11 * colour[2] > 140 ? "#202124" : "#fff";
      pen.fillText(text, left + size * 0.4, top + high / 2);
    }
  }
  function inside({ box, runs }, x, y, place) {
    if (runs) return runs.at(place) > 0;
    return x >= box[0] && y >= box[1] && x < box[2] && y < box[3];
  }

  const source = (item) => item.layers[page.layers[$("layer").selectedIndex] ?? page.layers[0]];

  /* Pictures under their layers. */
  function paint(stack, item, longest) {
    const canvas = stack.querySelector("canvas"), wanted = source(item);
    stack.dataset.source = wanted ?? "";
    if (!wanted) return void (canvas.width = canvas.height = 0);
    load(wanted).then(
      (layer) => { if (stack.dataset.source === wanted) layer.draw(canvas, longest); },
      () => { canvas.width = canvas.height = 0; },
    );
  }
  const seen = new Set();
  const watch = new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries) {
      const stack = target.querySelector(".stack"), item = page.items[target.dataset.item];
      if (isIntersecting) {
        seen.add(target);
        paint(stack, item, CARD);
      } else {
        seen.delete(target);
        stack.dataset.source = "";
        stack.querySelector("canvas").width = 0;
      }
    }
  }, { rootMargin: "300px" });
  let asked = 0;
  function repaint() {
    cancelAnimationFrame(asked);
    asked = requestAnimationFrame(() => {
      for (const card of seen) paint(card.querySelector(".stack"), page.items[card.dataset.item], CARD);
      if (viewer.open) paint(viewer.querySelector(".stack"), page.items[shown], LARGE);
    });
  }

  const cards = page.items.map((item, index) => {
    const picture = element("img", { src: item.thumb, loading: "lazy", decoding: "async", alt: item.name });
    const card = element(
      "button", { type: "button", className: "card", title: item.name },
      element("span", { className: "stack" }, picture, element("canvas")),
      element("span", { className: "name" }, item.name),
    );
    if (item.detail) card.append(element("span", { className: "detail" }, item.detail));
    card.dataset.item = index;
    card.onclick = () => {
      history.pushState(null, "", `#${index + 1}`);
      open(index);
    };
    return card;
  });
  cards.forEach((card) => watch.observe(card));

  /* Which cards are there, and in which order. */
  let order = page.items.map((_, index) => index);
  const texts = page.items.map((item) => `${item.name} ${item.detail ?? ""}`.toLowerCase());
  const matches = (index) => texts[index].includes($("find").value.trim().toLowerCase());
  const orders = [["as they came", null], ["by name", (one, two) => compare(one.name, two.name)]];
  page.values.forEach((name, at) => {
    orders.push([`${name}, least first`, (one, two) => compare(one.values[at], two.values[at])]);
    orders.push([`${name}, most first`, (one, two) => compare(two.values[at], one.values[at])]);
  });
  function compare(one, two) {
    if (one == null || two == null) return (one == null) - (two == null);
    if (typeof one === "number" && typeof two === "number") return one - two;
    return String(one).localeCompare(String(two), undefined, { numeric: true });
  }
  function arrange() {
    const by = orders[$("order").selectedIndex]?.[1];
    order = page.items.map((_, index) => index).filter(matches);
    if (by) order.sort((one, two) => by(page.items[one], page.items[two]) || one - two);
    $("gallery").replaceChildren(...order.map((index) => cards[index]));
    if (table) list();
    $("nothing").hidden = order.length > 0 || !$("find").value;
  }

  /* The legend: of all pictures, and of the one that is shown large. */
  function line(index) {
    const group = page.groups[index], button = element(
      "button", { type: "button", title: `${group.name}: click to hide or show, double-click for this one alone` },
      swatch(index), element("span", {}, group.name), element("small", {}, group.detail),
    );
    button.dataset.group = index;
    button.setAttribute("aria-pressed", on[index]);
    button.onclick = () => show(index, !on[index]);
    button.ondblclick = () => { on.fill(false); show(index, true); };
    return element("li", {}, button);
  }
  const lines = () => document.querySelectorAll("[data-group]");
  function show(index, value) {
    if (index != null) on[index] = value;
    for (const button of lines()) button.setAttribute("aria-pressed", on[button.dataset.group]);
    repaint();
  }
  $("every").onclick = () => { on.fill(true); show(); };
  $("none").onclick = () => { on.fill(false); show(); };

  /* Tables. */
  let table = null, sorted = { column: -1, down: false };
  function cell(column, value) {
    const made = element("td", { className: ["number", "percent", "share"].includes(column.kind) ? "figure" : "" });
    if (value == null) made.append("–");
    else if (column.kind === "item") made.append(element("a", { href: `#${value + 1}` }, page.items[value].name));
    else if (column.kind === "group") made.append(swatch(value), page.groups[value].name);
    else if (column.kind === "number") made.append(Number.isInteger(value) ? String(value) : value.toFixed(3));
    else if (column.kind === "percent" || column.kind === "share") made.append(`${(100 * value).toFixed(1)} %`);
    else made.append(String(value));
    if (column.kind === "share" && value != null) {
      made.classList.add("share");
      made.style.setProperty("--share", Math.max(0, Math.min(1, value)));
    }
    return made;
  }
  function plain(column, value) {
    if (value == null) return null;
    return column.kind === "item" ? page.items[value].name : column.kind === "group" ? page.groups[value].name : value;
  }
  let more = null;
  function list() {
    const { columns } = table, wanted = $("find").value.trim().toLowerCase();
    const words = (row) => row.map((value, i) => plain(columns[i], value) ?? "").join(" ").toLowerCase();
    const chosen = wanted ? table.rows.filter((row) => words(row).includes(wanted)) : [...table.rows];
    if (sorted.column >= 0) {
      const by = columns[sorted.column], sign = sorted.down ? -1 : 1;
      const value = (row) => plain(by, row[sorted.column]);
      chosen.sort((one, two) => {
        const [a, b] = [value(one), value(two)];
        return a == null || b == null ? compare(a, b) : sign * compare(a, b);
      });
    }
    const heads = columns.map((column, index) => {
      const head = element("th", { scope: "col" }, element("button", { type: "button" }, column.name));
      if (["number", "percent", "share"].includes(column.kind)) head.className = "figure";
      if (sorted.column === index) head.setAttribute("aria-sort", sorted.down ? "descending" : "ascending");
      head.firstChild.onclick = () => {
        const figure = head.className === "figure";
        sorted = { column: index, down: sorted.column === index ? !sorted.down : figure };
        list();
        $("table").querySelectorAll("th button")[index].focus();
      };
      return head;
    });
    const body = element("tbody");
    const add = () => body.append(...chosen.splice(0, ROWS).map(
      (row) => element("tr", {}, ...row.map((value, i) => cell(columns[i], value))),
    ));
    add();
    const end = element("p", { className: "end" });
    more?.disconnect();
    more = new IntersectionObserver(([entry]) => {
      while (entry.isIntersecting && chosen.length && end.getBoundingClientRect().top < innerHeight + 400) add();
    }, { rootMargin: "400px" });
    $("table").replaceChildren(element("table", {}, element("thead", {}, element("tr", {}, ...heads)), body), end);
    more.observe(end);
  }

  /* Tabs: the pictures, and each table. */
  const views = [...(page.items.length ? [null] : []), ...page.tables];
  const tabs = views.map((view) => {
    const tab = element("button", { type: "button" }, view?.title ?? "Pictures");
    tab.setAttribute("role", "tab");
    tab.onclick = () => turn(view);
    return tab;
  });
  function turn(view) {
    table = view;
    sorted = { column: -1, down: false };
    tabs.forEach((tab, index) => tab.setAttribute("aria-selected", views[index] === view));
    $("gallery").hidden = view !== null;
    $("table").hidden = view === null;
    for (const id of Object.keys(empty)) $(id).hidden = view !== null || empty[id];
    $("body").classList.toggle("bare", $("legend").hidden);
    if (view) list();
  }
  const empty = {
    sorting: page.items.length < 2, layering: page.layers.length < 2, layers: !page.items.length,
    legend: !page.groups.length,
  };

  /* One picture, large. */
  const viewer = $("viewer"), tip = element("div", { id: "tip", hidden: true });
  let shown = 0;
  function open(index) {
    shown = index;
    const item = page.items[index], [height, width] = item.size;
    const picture = element("img", { src: item.picture, alt: item.name, width, height });
    const stack = viewer.querySelector(".stack");
    stack.replaceChildren(picture, element("canvas"));
    $("caption").textContent = item.detail ? `${item.name} · ${item.detail}` : item.name;
    $("present").replaceChildren();
    $("controls").prepend($("layers"));
    if (!viewer.open) viewer.showModal();
    fit();
    paint(stack, item, LARGE);
    if (source(item)) load(source(item)).then((layer) => {
      if (shown !== index) return;
      $("present").replaceChildren(...layer.present().map(line));
      fit();
    }, () => {});
  }
  function fit() {
    const stack = viewer.querySelector(".stack"), { clientWidth, clientHeight } = stack;
    if (!viewer.open || !stack.children.length) return;
    const [height, width] = page.items[shown].size, scale = Math.min(clientWidth / width, clientHeight / height, 4);
    for (const layer of stack.children) {
      layer.style.width = `${width * scale}px`;
      layer.style.height = `${height * scale}px`;
    }
  }
  function step(by) {
    const at = order.indexOf(shown), next = order[(at + by + order.length) % order.length];
    if (next === undefined) return;
    history.replaceState(null, "", `#${next + 1}`);
    open(next);
  }
  function follow() {
    const index = Number(location.hash.slice(1)) - 1;
    if (page.items[index]) open(index); else if (viewer.open) viewer.close();
  }
  $("before").onclick = () => step(-1);
  $("after").onclick = () => step(1);
  $("close").onclick = () => viewer.close();
  viewer.onclose = () => {
    point(null);
    $("bar").append($("layers"));
    if (location.hash.length > 1) history.replaceState(null, "", "#");
    cards[shown]?.focus();
  };
  addEventListener("hashchange", follow);
  addEventListener("resize", fit);

  /* The name under the pointer. */
  function point(event) {
    const stack = event?.target.closest?.(".stack"), picture = stack?.querySelector("img");
    const ready = picture && stack.dataset.source && root.classList.contains("over");
    if (!ready) return say([], event);
    const large = viewer.contains(stack), item = large ? page.items[shown] : page.items[stack.parentNode.dataset.item];
    const [height, width] = item.size, frame = picture.getBoundingClientRect();
    const scale = Math.min(frame.width / width, frame.height / height);
    const x = (event.clientX - frame.left - (frame.width - width * scale) / 2) / scale;
    const y = (event.clientY - frame.top - (frame.height - height * scale) / 2) / scale;
    if (x < 0 || y < 0 || x >= width || y >= height) return say([], event);
    load(stack.dataset.source).then((layer) => {
      const [rows, columns] = layer.size;
      say(layer.under(Math.floor(x * columns / width), Math.floor(y * rows / height)), event);
    }, () => say([], event));
  }
  function say(found, event) {
    tip.hidden = !found.length;
    const groups = new Set(found.map((one) => String(one.group)));
    for (const button of lines()) button.parentNode.classList.toggle("under", groups.has(button.dataset.group));
    tip.replaceChildren(...found.slice(0, 1).flatMap((one) => [swatch(one.group), ` ${one.text}`]));
    if (!event) return;
    (viewer.open ? viewer : document.body).append(tip);
    tip.style.left = `${Math.min(event.clientX + 14, innerWidth - tip.offsetWidth - 8)}px`;
    tip.style.top = `${Math.min(event.clientY + 16, innerHeight - tip.offsetHeight - 8)}px`;
  }
  addEventListener("pointermove", point);
  addEventListener("pointerdown", point);
  addEventListener("scroll", () => point(null), { passive: true });

  /* Controls. */
  function over(value) {
    root.classList.toggle("over", value);
    $("overlay").setAttribute("aria-pressed", value);
    $("overlay").textContent = value ? page.shown : "Image alone";
    if (!value) point(null);
  }
  $("overlay").onclick = () => over(!root.classList.contains("over"));
  $("opacity").oninput = () => root.style.setProperty("--opacity", $("opacity").value / 100);
  $("order").onchange = arrange;
  $("layer").onchange = repaint;
  $("find").oninput = arrange;
  $("theme").onclick = () => {
    const dark = root.classList.contains("dark")
      || (!root.classList.contains("light") && matchMedia("(prefers-color-scheme: dark)").matches);
    root.classList.remove("light", "dark");
    root.classList.add(dark ? "light" : "dark");
  };
  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches("input:not([type=range]), select")) return;
    if (event.key === "l" || event.key === "L") over(!root.classList.contains("over"));
    else if (event.key === "/" && !viewer.open) { event.preventDefault(); $("find").focus(); }
    else if (viewer.open && event.key === "ArrowLeft") step(-1);
    else if (viewer.open && event.key === "ArrowRight") step(1);
  });

  $("note").textContent = page.note;
  $("legend").querySelector("summary").textContent = page.legend;
  $("legend").querySelector("ul").append(...(page.order.length ? page.order : page.groups.map((_, index) => index)).map(line));
  $("legend").open = !matchMedia("(max-width: 46rem)").matches || page.groups.length <= 12;
  $("order").append(...orders.map(([name]) => element("option", {}, name)));
  $("layer").append(...page.layers.map((name) => element("option", {}, name)));
  $("tabs").append(...tabs);
  $("tabs").hidden = tabs.length < 2;
  $("opacity").value = Math.round(100 * page.opacity);
  root.classList.toggle("areas", page.areas);
  $("opacity").oninput();
  document.body.append(tip);
  over(true);
  show();
  turn(views[0] ?? null);
  arrange();
  follow();
})();
