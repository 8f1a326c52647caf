/** Whom somebody is about to mention in what they write. Pure. */

export interface Person {
  user_id: string;
  display_name: string;
  email: string | null;
}

export interface Mention {
  /** Where its `@` stands. */
  at: number;
  /** What follows it, up to the caret. */
  query: string;
}

/** Longer than any name that is still being written. */
const LONGEST = 80;
const MOST = 6;

/** The `@…` before the caret; null where there is none. A name may have spaces. */
export function mentionAt(text: string, caret: number): Mention | null {
  const at = text.lastIndexOf("@", caret - 1);
  if (at < 0 || caret - at > LONGEST || (at > 0 && !/[\s([{"'“‘]/.test(text[at - 1] ?? ""))) return null;
  const query = text.slice(at + 1, caret);
  return /[\n\r]/.test(query) || query.startsWith(" ") ? null : { at, query };
}

/** As somebody types who has no time for accents. */
const folded = (text: string) =>
  text.normalize("NFD").replace(/\p{M}/gu, "").replaceAll("đ", "d").replaceAll("Đ", "D").toLowerCase();

/** People whose name, one of its words, or address begins so; those whose whole name does come first. */
export function candidates<P extends Person>(people: readonly P[], query: string): readonly P[] {
  const wanted = folded(query);
  const rank = (one: P) => {
    const name = folded(one.display_name);
    if (name.startsWith(wanted)) return 0;
    if (name.split(/\s+/).some((word) => word.startsWith(wanted))) return 1;
    return folded(one.email ?? "").startsWith(wanted) ? 2 : 3;
  };
  return people
    .map((one) => [rank(one), one] as const)
    .filter(([at]) => at < 3)
    .sort(([a, one], [b, other]) => a - b || one.display_name.localeCompare(other.display_name))
    .slice(0, MOST)
    .map(([, one]) => one);
}

/** The text with the mention written out, and where the caret then is. The address tells two of one name apart. */
export function mentioned(
  text: string,
  { at, query }: Mention,
  person: Person,
  people: readonly Person[],
): [text: string, caret: number] {
  const namesakes = people.filter((one) => folded(one.display_name) === folded(person.display_name)).length;
  const name = namesakes > 1 && person.email !== null ? person.email : person.display_name;
  const rest = text.slice(at + 1 + query.length);
  const before = `${text.slice(0, at)}@${name}${/^$|^[\p{L}\p{N}@]/u.test(rest) ? " " : ""}`;
  return [before + rest, before.length];
}
