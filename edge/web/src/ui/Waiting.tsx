import { useText } from "../i18n/context";
import { Mark } from "./icons";

export function Waiting() {
  const text = useText();
  return (
    <main className="flex h-full items-center justify-center" aria-busy="true">
      <Mark className="h-12 w-12 animate-glow" />
      <span className="sr-only">{text.loading}</span>
    </main>
  );
}
