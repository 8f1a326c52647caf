import { useState } from "react";
import { useSpeech } from "../i18n/context";
import * as account from "../net/account";
import { config } from "../net/api";
import type { ChatClient } from "../net/client";
import type * as described from "../net/described";
import type { Session } from "../net/session";
import { PasswordField } from "./EntryFrame";
import { Failure, Section, useLoaded, useTask, when } from "./forms";
import { providerName } from "./providers";

/** Ways in, and where somebody is in. */
export function SecurityPart({
  client,
  session,
  onSignOut,
}: {
  client: ChatClient;
  session: Session;
  onSignOut(): void;
}) {
  const { text } = useSpeech();
  const ways = useLoaded(() => client.rest(account.identities));
  const everywhere = useTask();
  return (
    <>
      {ways.value && <PasswordPart client={client} session={session} hasPassword={ways.value.has_password} />}
      <Failure code={ways.failure} />
      {ways.value && <Identities client={client} ways={ways.value} onChanged={ways.again} />}
      <Sessions client={client} />
      <Section title={text.settings.everywhere} note={text.settings.everywhereNote}>
        <Failure code={everywhere.failure} />
        <button
          type="button"
          className="danger-button"
          data-testid="sign-out-everywhere"
          disabled={everywhere.busy}
          onClick={async () => {
            if (await everywhere.run(() => session.signOutEverywhere())) onSignOut();
          }}
        >
          {text.settings.everywhere}
        </button>
      </Section>
    </>
  );
}

function PasswordPart({
  client,
  session,
  hasPassword,
}: {
  client: ChatClient;
  session: Session;
  hasPassword: boolean;
}) {
  const { text } = useSpeech();
  const task = useTask();
  return (
    <Section title={text.settings.password} note={text.enter.resetLead}>
      <form
        className="space-y-3"
        noValidate
        onSubmit={(event) => {
          event.preventDefault();
          const fields = new FormData(event.currentTarget);
          const value = (name: string) => String(fields.get(name) ?? "");
          void task.run(
            async () => {
              await client.rest((token) =>
                account.setPassword(token, hasPassword ? value("current") : null, value("next")),
              );
              session.end("reset");
            },
            { current_password: "wrong_current", new_password: "bad_password" },
          );
        }}
      >
        {hasPassword && (
          <PasswordField
            label={text.settings.current}
            name="current"
            fresh={false}
            testId="password-current"
          />
        )}
        <PasswordField
          label={text.settings.next}
          hint={text.auth.passwordHint}
          name="next"
          fresh
          testId="password-next"
        />
        <Failure code={task.failure} testId="password-failure" />
        <button type="submit" className="solid-button" disabled={task.busy} data-testid="password-save">
          {hasPassword ? text.settings.change : text.settings.set}
        </button>
      </form>
    </Section>
  );
}

function Identities({
  client,
  ways,
  onChanged,
}: {
  client: ChatClient;
  ways: described.Identities;
  onChanged(): void;
}) {
  const { text } = useSpeech();
  const task = useTask();
  const [at, setAt] = useState("");
  const offered = useLoaded(async () => (await config()).oauth_providers);
  const names = [...new Set([...ways.data.map((one) => one.provider), ...(offered.value ?? [])])];
  if (names.length === 0) return null;
  return (
    <Section title={text.settings.identities}>
      <ul className="divide-y divide-line">
        {names.map((provider) => {
          const linked = ways.data.find((one) => one.provider === provider);
          return (
            <li key={provider} className="py-2.5" data-testid={`identity-${provider}`}>
              <div className="flex items-center gap-3">
                <span className="min-w-0 flex-1">
                  <span className="block font-medium">{providerName(provider)}</span>
                  <span className="block truncate text-sm text-ink-soft">
                    {linked ? (linked.email ?? "") : text.settings.notConnected}
                  </span>
                </span>
                <button
                  type="button"
                  className={linked ? "quiet-button text-danger hover:text-danger" : "line-button"}
                  disabled={task.busy}
                  onClick={() => {
                    setAt(provider);
                    void task.run(
                      async () => {
                        if (linked) {
                          await client.rest((token) => account.unlink(token, provider));
                          onChanged();
                        } else {
                          location.assign(
                            (
                              await client.rest((token) =>
                                account.link(token, provider, "/#/settings/security"),
                              )
                            ).url,
                          );
                        }
                      },
                      { 409: "last_way_in" },
                    );
                  }}
                >
                  {linked ? text.settings.disconnect : text.settings.connect}
                </button>
              </div>
              {at === provider && <Failure code={task.failure} />}
            </li>
          );
        })}
      </ul>
    </Section>
  );
}

function Sessions({ client }: { client: ChatClient }) {
  const { text, language } = useSpeech();
  const task = useTask();
  const list = useLoaded(() => client.rest(account.sessions));
  return (
    <Section title={text.settings.sessions}>
      <Failure code={task.failure ?? list.failure} />
      <ul className="divide-y divide-line">
        {list.value?.data.map((one) => (
          <li key={one.id} className="flex items-center gap-3 py-2.5" data-testid="session">
            <span className="min-w-0 flex-1 text-sm">
              <span className="block font-medium">
                {one.current ? text.settings.current2 : text.settings.since(when(one.created_at, language))}
              </span>
              <span className="block text-ink-soft">
                {one.current && `${text.settings.since(when(one.created_at, language))}, `}
                {text.settings.used(when(one.last_used_at, language))}
              </span>
            </span>
            {!one.current && (
              <button
                type="button"
                className="quiet-button text-danger hover:text-danger"
                data-testid="session-end"
                disabled={task.busy}
                onClick={() =>
                  void task.run(async () => {
                    await client.rest((token) => account.endSession(token, one.id));
                    list.again();
                  })
                }
              >
                {text.settings.end}
              </button>
            )}
          </li>
        ))}
      </ul>
    </Section>
  );
}
