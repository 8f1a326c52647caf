/** Which of a conversation's versions is on the screen. Pure. */
import type { Turn } from "./thread";

export interface Shown {
  turn: Turn;
  /** The ids of all questions that stand in this one's place, itself among them, in the order of asking. */
  versions: readonly string[];
}

/** By the id of a parent (empty: none): which of its questions somebody chose to see. */
export type Chosen = Readonly<Record<string, string>>;

const parentOf = (turn: Turn): string => turn.question?.parent_message_id ?? "";

/**
 * The turns of one path, from the first to its end. At each fork it follows the choice, and without one the way to
 * the newest question: the path that agents are shown. Answers whose question is not here come first.
 */
export function path(turns: readonly Turn[], chosen: Chosen): readonly Shown[] {
  const asked = turns.filter((turn) => turn.question !== null);
  const families = new Map<string, Turn[]>();
  for (const turn of asked) {
    const family = families.get(parentOf(turn));
    if (family === undefined) families.set(parentOf(turn), [turn]);
    else family.push(turn);
  }
  const known = new Set(asked.map((turn) => turn.id));

  // A parent stands before its children: from the end, each has heard of all its own when it is its turn.
  const newest = new Map(asked.map((turn, at) => [turn.id, at]));
  for (const turn of asked.toReversed()) {
    const parent = parentOf(turn);
    if (known.has(parent)) newest.set(parent, Math.max(newest.get(parent) ?? 0, newest.get(turn.id) ?? 0));
  }
  const latest = (family: readonly Turn[]) =>
    family.reduce((a, b) => ((newest.get(b.id) ?? 0) > (newest.get(a.id) ?? 0) ? b : a));

  const shown: Shown[] = turns
    .filter((turn) => turn.question === null)
    .map((turn) => ({ turn, versions: [turn.id] }));
  const roots = asked.filter((turn) => !known.has(parentOf(turn)));
  let family = roots.length === 0 ? undefined : families.get(parentOf(latest(roots)));
  while (family !== undefined) {
    const choice = chosen[parentOf(family[0] as Turn)];
    const turn = family.find((one) => one.id === choice) ?? latest(family);
    shown.push({ turn, versions: family.map((one) => one.id) });
    family = families.get(turn.id);
  }
  return shown;
}

/** Choices that lead to a question: itself and every one above it. */
export function choicesTo(turns: readonly Turn[], messageId: string): Chosen {
  const target = turns.find(
    (turn) => turn.id === messageId || turn.answers.some((answer) => answer.id === messageId),
  );
  const byId = new Map(turns.map((turn) => [turn.id, turn]));
  const choices: Record<string, string> = {};
  for (let turn = target; turn !== undefined; turn = byId.get(parentOf(turn)))
    choices[parentOf(turn)] = turn.id;
  return choices;
}
