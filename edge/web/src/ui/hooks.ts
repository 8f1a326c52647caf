import {
  type RefObject,
  useCallback,
  useEffect,
  useLayoutEffect,
  useMemo,
  useRef,
  useState,
  useSyncExternalStore,
} from "react";
import type { Store } from "../state/store";

export function useStore<T>(store: Store<T>): T {
  return useSyncExternalStore(store.subscribe, store.get);
}

export function useMedia(query: string): boolean {
  const [media] = useState(() => window.matchMedia(query));
  return useSyncExternalStore(
    useCallback(
      (changed) => {
        media.addEventListener("change", changed);
        return () => media.removeEventListener("change", changed);
      },
      [media],
    ),
    () => media.matches,
  );
}

const onHash = (changed: () => void) => {
  window.addEventListener("hashchange", changed);
  return () => window.removeEventListener("hashchange", changed);
};
const hash = () => location.hash;

export type Route =
  /** `message` is one to jump to. */
  | { at: "thread"; id: string | null; message: string | null }
  | { at: "settings" | "project"; section: string };

/** Pure: what an address after the # means. */
export function routeOf(address: string): Route {
  const thread = /^#\/c\/([0-9a-f-]{36})(?:\/([0-9a-f-]{36}))?$/.exec(address);
  if (thread) return { at: "thread", id: thread[1] ?? null, message: thread[2] ?? null };
  const place = /^#\/(settings|project)(?:\/([a-z]+))?$/.exec(address);
  if (place) return { at: place[1] as "settings" | "project", section: place[2] ?? "" };
  return { at: "thread", id: null, message: null };
}

/** What is open is in the address, after the #: any server can serve it, and reload and back keep it. */
export function useRoute(): [Route, (id: string | null, message?: string | null) => void] {
  const address = useSyncExternalStore(onHash, hash);
  const go = useCallback((id: string | null, message: string | null = null) => {
    location.hash = id === null ? "#/" : message === null ? `#/c/${id}` : `#/c/${id}/${message}`;
  }, []);
  return [useMemo(() => routeOf(address), [address]), go];
}

/** Near enough to the end to mean "at the end", in pixels. */
const AT_END = 64;

/**
 * Keep a scrolling box at its end while its content grows, until the person scrolls up; `key` names what is shown,
 * and another one starts at its end.
 */
export function useStickToEnd(key: string | null): {
  box: RefObject<HTMLDivElement | null>;
  content: RefObject<HTMLDivElement | null>;
  away: boolean;
  toEnd(): void;
  /** Somebody wants to read elsewhere. */
  letGo(): void;
} {
  const box = useRef<HTMLDivElement>(null);
  const content = useRef<HTMLDivElement>(null);
  const stuck = useRef(true);
  const [away, setAway] = useState(false);

  const toEnd = useCallback(() => {
    stuck.current = true;
    setAway(false);
    if (box.current) box.current.scrollTop = box.current.scrollHeight;
  }, []);

  const letGo = useCallback(() => {
    stuck.current = false;
    setAway(true);
  }, []);

  // biome-ignore lint/correctness/useExhaustiveDependencies: another conversation starts at its end.
  useLayoutEffect(toEnd, [toEnd, key]);

  useEffect(() => {
    const scroller = box.current;
    if (scroller === null || content.current === null) return;
    let lastTop = scroller.scrollTop;
    const scrolled = () => {
      const left = scroller.scrollHeight - scroller.clientHeight - scroller.scrollTop;
      // Growth moves the end away without anybody scrolling: only a move up lets go.
      if (scroller.scrollTop < lastTop && left > AT_END) stuck.current = false;
      else if (left <= AT_END) stuck.current = true;
      lastTop = scroller.scrollTop;
      setAway(!stuck.current);
    };
    const grown = new ResizeObserver(() => {
      if (stuck.current) scroller.scrollTop = scroller.scrollHeight;
    });
    grown.observe(content.current);
    grown.observe(scroller);
    scroller.addEventListener("scroll", scrolled, { passive: true });
    return () => {
      grown.disconnect();
      scroller.removeEventListener("scroll", scrolled);
    };
  }, []);

  return { box, content, away, toEnd, letGo };
}

/** How much of the time setting a growing text anew may take; the rest is for typing and scrolling. */
const SHARE = 0.15;
const SLOWEST_MS = 1_000;

/** Milliseconds to wait after a setting that took `cost` milliseconds: parsing Markdown takes longer with its length. */
export function pace(cost: number): number {
  return Math.min(SLOWEST_MS, cost / SHARE - cost);
}

/** `text` as of a moment ago while it grows, at the pace that this device can bear, and exactly `text` once it stops. */
export function usePaced(text: string, growing: boolean): string {
  const [set, setSet] = useState(text);
  const timer = useRef(0);
  const cost = useRef(0);
  const latest = useRef(text);
  latest.current = text;
  const shown = growing && text.startsWith(set) ? set : text;
  const began = performance.now();

  // biome-ignore lint/correctness/useExhaustiveDependencies: the cost of setting what is shown, from render to commit.
  useLayoutEffect(() => {
    cost.current = performance.now() - began;
  }, [shown]);

  useEffect(() => {
    if (!growing || timer.current !== 0 || set === text) return;
    timer.current = window.setTimeout(() => {
      timer.current = 0;
      setSet(latest.current);
    }, pace(cost.current));
  }, [growing, set, text]);

  useEffect(
    () => () => {
      window.clearTimeout(timer.current);
      timer.current = 0;
    },
    [],
  );
  return shown;
}

export function useCopied(): [boolean, (text: string) => void] {
  const [copied, setCopied] = useState(false);
  useEffect(() => {
    if (!copied) return;
    const timer = window.setTimeout(() => setCopied(false), 1_600);
    return () => window.clearTimeout(timer);
  }, [copied]);
  const copy = useCallback((text: string) => {
    navigator.clipboard?.writeText(text).then(
      () => setCopied(true),
      () => undefined,
    );
  }, []);
  return [copied, copy];
}
