// Tokens as text that a reader can see, and as names that tell two equal tokens apart.

// Spaces, line ends and invisible characters get a sign of their own. What joins an emoji stays.
export function visible(token) {
  if (token === "") return "∅";
  return token
    .replace(/ /g, "␣").replace(/\r?\n|\r/g, "↵").replace(/\t/g, "⇥")
    .replace(/[\p{Cc}\p{Cf}\p{Zs}\p{Zl}\p{Zp}]/gu, (c) => c === "\u200d"
      ? c : `U+${c.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}`);
}

// ["the", "cat", "the"] -> ["“the” (0)", "“cat”", "“the” (2)"]
export function names(tokens) {
  const count = new Map();
  for (const token of tokens) count.set(token, (count.get(token) ?? 0) + 1);
  return tokens.map((token, i) => `“${visible(token)}”${count.get(token) > 1 ? ` (${i})` : ""}`);
}

// The place of values[i] when the values stand largest first, from 1; equal values share a place.
export function rank(values, i) {
  let place = 1;
  for (const value of values) if (value > values[i]) place += 1;
  return place;
}
