import { useSpeech } from "../i18n/context";
import { NAMES } from "../i18n/language";
import { THEMES, useTheme } from "../theme";
import { Moon, Screen, Sun } from "./icons";

export function LanguageSwitch() {
  const { language, speak, text } = useSpeech();
  const other = language === "en" ? "vi" : "en";
  return (
    <button
      type="button"
      className="quiet-button whitespace-nowrap"
      data-testid="language-switch"
      lang={other}
      title={text.account.language}
      onClick={() => speak(other)}
    >
      {NAMES[other]}
    </button>
  );
}

const ICONS = { system: Screen, light: Sun, dark: Moon };

export function ThemeSwitch() {
  const { text } = useSpeech();
  const [theme, setTheme] = useTheme();
  const Icon = ICONS[theme];
  const label = `${text.account.theme}: ${text.account.themes[theme]}`;
  return (
    <button
      type="button"
      className="icon-button"
      data-testid="theme-switch"
      aria-label={label}
      title={label}
      onClick={() => setTheme(THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length] ?? "system")}
    >
      <Icon />
    </button>
  );
}
