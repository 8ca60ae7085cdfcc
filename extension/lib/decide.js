// The engine that decides in the browser, on a table that the helper makes (its rules/table.py says what it means).
// The same text runs in Chromium's proxy script and in Firefox's request listener.

/** @returns {(url: string, host: string) => boolean} whether a request goes out directly; anything odd does not */
function decider(table) {
  const segments = table.segments.map(([direct, other, searched]) => ({
    direct: new Set(direct.split(" ")),
    other: new Set(other.split(" ")),
    searched: searched.map(([outcome, port, kind, text]) => ({ outcome, port, matches: MATCHERS[kind](text) })),
  }));
  return (url, host) => {
    const name = typeof host === "string" ? canonical(host) : "";
    if (name === "" || name === "qnet" || name.endsWith(".qnet")) return false;
    const keys = keysOf(name);
    for (const { direct, other, searched } of segments) {
      for (const key of keys) {
        if (direct.has(key)) return true;
        if (other.has(key)) return false;
      }
      for (const { outcome, port, matches } of searched) {
        if ((port === 0 || port === portOf(url)) && matches(name, keys)) return outcome;
      }
    }
    return table.direct === true;
  };
}

const MATCHERS = {
  key: (text) => (name, keys) => keys.includes(text),
  keyword: (text) => (name) => name.includes(text),
  regex(text) {
    const expression = new RegExp(text);
    return (name) => expression.test(name);
  },
  wildcard: (text) => (name) => glob(text, name),
};

const PORTS = { "http:": 80, "ws:": 80, "https:": 443, "wss:": 443, "ftp:": 21 };

function portOf(url) {
  const parts = /^([a-z][a-z0-9+.-]*:)\/\/([^/?#]*)/i.exec(url);
  if (!parts) return -1;
  const port = /:([0-9]+)$/.exec(parts[2]);
  return port ? Number(port[1]) : (PORTS[parts[1].toLowerCase()] ?? -1);
}

/** One written form, from what a browser has already made canonical itself. */
function canonical(host) {
  const name = host.toLowerCase().replace(/^\[|\]$/g, "").replace(/\.$/, "");
  if (!name.includes(":")) return name;
  const groups = groupsOf(name);
  if (groups.slice(0, 5).some(Boolean) || groups[5] !== 0xffff) return name;
  return [groups[6] >> 8, groups[6] & 255, groups[7] >> 8, groups[7] & 255].join(".");
}

/** The eight groups of an IPv6 address. */
function groupsOf(address) {
  const text = address.replace(/([0-9]+)\.([0-9]+)\.([0-9]+)\.([0-9]+)$/, (_, a, b, c, d) =>
    [a * 256 + +b, c * 256 + +d].map((group) => group.toString(16)).join(":"),
  );
  const [head, tail] = text.split("::").map((half) => (half ? half.split(":") : []));
  const gap = tail ? Array(8 - head.length - tail.length).fill("0") : [];
  return [...head, ...gap, ...(tail ?? [])].map((group) => parseInt(group, 16));
}

/** Every key that could match, the narrowest first. */
function keysOf(name) {
  const bits = bitsOf(name);
  if (bits) return Array.from(bits, (_, index) => `/${bits.slice(0, bits.length - index)}`);
  const keys = ["=" + name, name];
  for (let dot = name.indexOf("."); dot >= 0; dot = name.indexOf(".", dot + 1)) keys.push(name.slice(dot + 1));
  return keys;
}

function bitsOf(name) {
  const binary = (groups, size) => groups.map((group) => Number(group).toString(2).padStart(size, "0")).join("");
  if (name.includes(":")) return "6" + binary(groupsOf(name), 16);
  return /^([0-9]+\.){3}[0-9]+$/.test(name) ? "4" + binary(name.split("."), 8) : "";
}

function glob(pattern, text) {
  let at = 0;
  let place = 0;
  let star = -1;
  let resume = 0;
  while (place < text.length) {
    if (pattern[at] === "*") {
      star = at++;
      resume = place;
    } else if (at < pattern.length && (pattern[at] === "?" || pattern[at] === text[place])) {
      at++;
      place++;
    } else if (star >= 0) {
      at = star + 1;
      place = ++resume;
    } else {
      return false;
    }
  }
  while (pattern[at] === "*") at++;
  return at === pattern.length;
}

export { decider };
