/** Light, dark, or as the system says. */
import { useEffect, useState } from "react";

export const THEMES = ["system", "light", "dark"] as const;
export type Theme = (typeof THEMES)[number];

const KEY = "chorus.theme";
const dark = window.matchMedia("(prefers-color-scheme: dark)");

function remembered(): Theme {
  const value = localStorage.getItem(KEY);
  return THEMES.find((theme) => theme === value) ?? "system";
}

function apply(theme: Theme): void {
  const shown = theme === "system" ? (dark.matches ? "dark" : "light") : theme;
  document.documentElement.dataset.theme = shown;
}

/** Before the first paint, and whenever the system changes its mind. */
export function followTheme(): void {
  apply(remembered());
  dark.addEventListener("change", () => apply(remembered()));
}

export function useTheme(): [Theme, (theme: Theme) => void] {
  const [theme, setTheme] = useState(remembered);
  useEffect(() => {
    localStorage.setItem(KEY, theme);
    apply(theme);
  }, [theme]);
  return [theme, setTheme];
}
