/** Which language the page speaks. Pure, but for remembering the choice. */
import { type Dictionary, en } from "./en";
import { vi } from "./vi";

export type Language = "en" | "vi";

export const DICTIONARIES: Record<Language, Dictionary> = { en, vi };
export const NAMES: Record<Language, string> = { en: "English", vi: "Tiếng Việt" };

const KEY = "chorus.language";

/** The first of the browser's languages that the page speaks; English where it speaks none. */
export function detect(remembered: string | null, preferred: readonly string[]): Language {
  for (const one of [remembered ?? "", ...preferred]) {
    const base = one.toLowerCase().split("-")[0];
    if (base === "vi" || base === "en") return base;
  }
  return "en";
}

export const initialLanguage = (): Language => detect(localStorage.getItem(KEY), navigator.languages);

export const rememberLanguage = (language: Language): void => localStorage.setItem(KEY, language);

/** A sentence for an error code; codes are added over time, so an unknown one has a sentence too. */
export function explain(text: Dictionary, code: string, detail: string | null = null): string {
  return text.failures[code as keyof Dictionary["failures"]] ?? detail ?? text.unknownFailure;
}
