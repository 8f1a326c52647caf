import { type ReactNode, useState } from "react";
import { useText } from "../i18n/context";
import { Field } from "./forms";
import { Eye, Mark } from "./icons";
import { LanguageSwitch, ThemeSwitch } from "./switches";

/** The frame of everything that is shown before somebody is in. */
export function EntryFrame({ title, lead, children }: { title: string; lead?: string; children: ReactNode }) {
  const text = useText();
  return (
    <div className="flex min-h-full flex-col">
      <header className="flex items-center justify-end gap-1 p-3">
        <ThemeSwitch />
        <LanguageSwitch />
      </header>
      <main className="flex flex-1 items-start justify-center px-5 pb-16 pt-[6vh] sm:items-center sm:pt-0">
        <div className="w-full max-w-sm animate-rise">
          <div className="mb-10 flex items-center gap-3">
            <Mark className="h-10 w-10" />
            <div>
              <p className="text-lg font-semibold leading-tight tracking-tight">Chorus</p>
              <p className="text-sm leading-tight text-ink-faint">{text.auth.tagline}</p>
            </div>
          </div>
          <h1 className="text-2xl font-semibold tracking-tight">{title}</h1>
          {lead && <p className="mt-1 text-ink-soft">{lead}</p>}
          {children}
        </div>
      </main>
    </div>
  );
}

export function PasswordField({
  label,
  hint,
  name,
  fresh,
  testId,
}: {
  label: string;
  hint?: string | undefined;
  name: string;
  /** Being chosen, not remembered. */
  fresh: boolean;
  testId: string;
}) {
  const text = useText();
  const [shown, setShown] = useState(false);
  return (
    <Field label={label} hint={hint}>
      <div className="relative">
        <input
          className="field pr-11"
          name={name}
          type={shown ? "text" : "password"}
          autoComplete={fresh ? "new-password" : "current-password"}
          data-testid={testId}
        />
        <button
          type="button"
          className={`icon-button absolute right-1 top-1/2 -translate-y-1/2 ${shown ? "text-accent" : ""}`}
          aria-label={shown ? text.auth.hidePassword : text.auth.showPassword}
          aria-pressed={shown}
          onClick={() => setShown(!shown)}
        >
          <Eye />
        </button>
      </div>
    </Field>
  );
}
