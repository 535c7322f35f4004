// Large amounts in words of three digits; all pure.

const UNITS = [[1e15, "P"], [1e12, "T"], [1e9, "G"], [1e6, "M"], [1e3, "k"]];
export const three = (x) => x.toFixed(x < 9.995 ? 2 : x < 99.95 ? 1 : 0);
export function short(x) {
  const unit = UNITS.find(([size]) => x >= 0.9995 * size);
  return unit ? `${three(x / unit[0])} ${unit[1]}` : `${Math.round(x)} `;
}
export const count = (x) => short(x).trim().replace("G", "B");
export function size(x) {
  const i = Math.min(4, Math.max(0, Math.floor(Math.log2(Math.max(1, x)) / 10)));
  return i ? `${three(x / 1024 ** i)} ${" KMGT"[i]}iB` : `${Math.round(x)} B`;
}
export const exact = (x) => x.toLocaleString("en-US");
// A round number without its zeros: 1e7 -> "10 M".
export const round = (x) => count(x).replace(/(\.\d*?)0+( |$)/, "$1$2").replace(/\.( |$)/, "$1");
export function percent(part) {
  if (part && part < 5e-5) return "< 0.01 %";
  return `${(100 * part).toFixed(part && part < 0.0005 ? 2 : 1)} %`;
}
