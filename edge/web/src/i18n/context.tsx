import { createContext, type ReactNode, useContext, useEffect, useMemo, useState } from "react";
import type { Dictionary } from "./en";
import { DICTIONARIES, initialLanguage, type Language, rememberLanguage } from "./language";

interface Speech {
  text: Dictionary;
  language: Language;
  speak(language: Language): void;
}

const SpeechContext = createContext<Speech | null>(null);

export function SpeechProvider({ children }: { children: ReactNode }) {
  const [language, setLanguage] = useState(initialLanguage);
  useEffect(() => {
    document.documentElement.lang = language;
  }, [language]);
  const speech = useMemo<Speech>(
    () => ({
      text: DICTIONARIES[language],
      language,
      speak(next) {
        rememberLanguage(next);
        setLanguage(next);
      },
    }),
    [language],
  );
  return <SpeechContext value={speech}>{children}</SpeechContext>;
}

export function useSpeech(): Speech {
  const speech = useContext(SpeechContext);
  if (speech === null) throw new Error("SpeechProvider is missing");
  return speech;
}

export const useText = (): Dictionary => useSpeech().text;
