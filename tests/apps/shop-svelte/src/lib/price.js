/** Cents as people read them: 1999 → "19.99". */
export function price(cents) {
  return (cents / 100).toFixed(2);
}
