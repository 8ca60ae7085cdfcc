// The engine that decides in the browser, on a table that the helper makes (its rules/table.py says what it means).
// The same text runs in Chromium's proxy script and in Firefox's request listener.

// Chromium runs it without a compiler, so what is done for each request is loops of few steps and built-in functions.

/** @returns {(url: string, host: string) => boolean} whether a request goes out directly; anything odd does not */
function decider(table) {
  const keys = []; // by length, in small tables: to twice the segment's number, plus one for direct
  const rules = [];
  let exact = false;
  table.segments.forEach(([direct, other, searched], segment) => {
    for (const [code, text] of [[segment * 2 + 1, direct], [segment * 2, other]]) {
      exact ||= /(^| )=/.test(text);
      if (!text) continue;
      for (const key of text.split(" ")) {
        const same = (keys[key.length] ??= new Map());
        if (!same.has(key)) same.set(key, code);
      }
    }
    for (const [outcome, port, kind, text, three] of searched) {
      rules.push({ segment, outcome, port, matches: MATCHERS[kind](text), three });
    }
  });
  // A rule that needs certain three characters in the name is tried only where they are.
  const always = [];
  const needing = new Map();
  rules.forEach(({ three }, index) => {
    if (!three) always.push(index);
    else if (needing.has(three)) needing.get(three).push(index);
    else needing.set(three, [index]);
  });
  const otherwise = table.segments.length * 2 + (table.direct === true ? 1 : 0);

  /** The code of the first segment that has a range with the address, and in it of the narrowest. */
  function byAddress(bits) {
    let best = otherwise;
    for (let length = bits.length; length > 0; length--) {
      const code = keys[length + 1]?.get("/" + bits.slice(0, length));
      if (code !== undefined && code >> 1 < best >> 1) best = code;
    }
    return best;
  }

  function candidates(name) {
    if (needing.size === 0) return always;
    let found = always;
    for (let at = name.length - 3; at >= 0; at--) {
      const more = needing.get(name.slice(at, at + 3));
      if (more) found = found.concat(more);
    }
    return found === always ? always : found.sort((one, other) => one - other);
  }

  return (url, host) => {
    if (typeof host !== "string" || host === "") return false;
    let name = host.toLowerCase();
    let bits = "";
    const last = name.charCodeAt(name.length - 1);
    // Whatever does not end in a letter may be written in another way than the rules are, or be an address; so may
    // what ends in a digit of base 16.
    if (last < 103 ? last < 97 || name.includes(":") : last > 122) {
      name = canonical(name);
      bits = bitsOf(name);
    }
    if (name.endsWith("qnet") && (name.length === 4 || name[name.length - 5] === ".")) return false;
    let best = otherwise;
    if (bits !== "") {
      best = byAddress(bits);
    } else {
      let code = exact ? keys[name.length + 1]?.get("=" + name) : undefined;
      if (code !== undefined) best = code;
      const length = name.length;
      let dot = 0;
      do {
        const same = keys[length - dot];
        if (same !== undefined) {
          code = same.get(name.slice(dot));
          if (code !== undefined && code >> 1 < best >> 1) best = code;
        }
        dot = name.indexOf(".", dot) + 1;
      } while (dot !== 0);
    }
    if (rules.length > 0) {
      for (const index of candidates(name)) {
        const { segment, outcome, port, matches } = rules[index];
        if (segment >= best >> 1) break;
        if ((port === 0 || port === portOf(url)) && matches(name, bits)) return outcome;
      }
    }
    return (best & 1) === 1;
  };
}

const MATCHERS = {
  key(text) {
    if (text[0] === "/") return (name, bits) => bits !== "" && ("/" + bits).startsWith(text);
    if (text[0] === "=") return (name) => "=" + name === text;
    return (name, bits) => bits === "" && (name === text || name.endsWith("." + text));
  },
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
  let name = host;
  if (name.charCodeAt(name.length - 1) === 46) name = name.slice(0, -1);
  if (!name.includes(":")) return name;
  if (name.startsWith("[")) name = name.slice(1, -1);
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

/** 4 or 6 and an address in binary; nothing for a name. */
function bitsOf(name) {
  if (name.includes(":")) return "6" + binary(groupsOf(name), 16);
  const last = name.charCodeAt(name.length - 1);
  if (last < 48 || last > 57) return "";
  return /^([0-9]+\.){3}[0-9]+$/.test(name) ? "4" + binary(name.split("."), 8) : "";
}

function binary(groups, size) {
  return groups.map((group) => Number(group).toString(2).padStart(size, "0")).join("");
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
