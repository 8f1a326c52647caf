import { useState } from "react";
import { useText } from "../i18n/context";
import * as account from "../net/account";
import type { ChatClient } from "../net/client";
import type { Receipt } from "../net/described";
import { saveAs } from "../net/files";
import type { Session } from "../net/session";
import { Dialog } from "./Dialog";
import { Failure, Field, Said, Section, TypedConfirm, useLoaded, useTask } from "./forms";
import { Download } from "./icons";
import { NotificationsPart } from "./NotificationsPart";
import { Place } from "./PlaceTabs";
import { SecurityPart } from "./SecurityPart";
import { LanguageSwitch, ThemeSwitch } from "./switches";

interface Props {
  client: ChatClient;
  session: Session;
  section: string;
  onSignOut(): void;
  onGone(): void;
}

export function SettingsPage({ client, session, section, onSignOut, onGone }: Props) {
  const text = useText();
  const present = ["security", "notifications", "data"].includes(section) ? section : "profile";
  return (
    <Place
      at="settings"
      present={present}
      parts={[
        ["profile", text.settings.profile],
        ["security", text.settings.security],
        ["notifications", text.settings.notifications],
        ["data", text.settings.data],
      ]}
    >
      {present === "profile" && <ProfilePart client={client} session={session} />}
      {present === "security" && <SecurityPart client={client} session={session} onSignOut={onSignOut} />}
      {present === "notifications" && <NotificationsPart client={client} />}
      {present === "data" && <DataPart client={client} onGone={onGone} />}
    </Place>
  );
}

function ProfilePart({ client, session }: { client: ChatClient; session: Session }) {
  const text = useText();
  const task = useTask();
  const mail = useTask();
  const me = useLoaded(() => session.me());
  const user = me.value ?? client.user;
  return (
    <>
      <Section title={text.settings.profile}>
        <form
          className="space-y-3"
          onSubmit={(event) => {
            event.preventDefault();
            const name = String(new FormData(event.currentTarget).get("name") ?? "").trim();
            void task.run(
              async () => {
                me.set(await client.rest((token) => account.rename(token, name)));
                await client.lists.loadMembers();
              },
              { 422: "bad_name" },
            );
          }}
        >
          <Field label={text.settings.name}>
            <input
              className="field"
              name="name"
              key={user.display_name}
              defaultValue={user.display_name}
              maxLength={80}
              autoComplete="name"
              data-testid="profile-name"
            />
          </Field>
          <Failure code={task.failure} />
          <Said testId="profile-saved">{task.done && text.project.saved}</Said>
          <button type="submit" className="solid-button" disabled={task.busy} data-testid="profile-save">
            {text.project.save}
          </button>
        </form>
      </Section>
      {user.email && (
        <Section title={text.auth.email}>
          <p className="flex flex-wrap items-center gap-2">
            <span className="break-all">{user.email}</span>
            {user.email_verified !== undefined && (
              <span
                className={`rounded-md px-1.5 py-0.5 text-xs font-medium ${
                  user.email_verified ? "bg-accent-soft text-accent" : "bg-warn-soft text-warn"
                }`}
                data-testid="email-state"
              >
                {user.email_verified ? text.settings.verified : text.settings.unverified}
              </span>
            )}
          </p>
          {user.email_verified === false && (
            <button
              type="button"
              className="line-button"
              data-testid="verify-send"
              disabled={mail.busy || mail.done}
              onClick={() => void mail.run(() => client.rest(account.sendVerification))}
            >
              {text.settings.verify}
            </button>
          )}
          <Failure code={mail.failure} />
          <Said>{mail.done && text.settings.verifySent}</Said>
        </Section>
      )}
      <Section title={text.account.theme}>
        <div className="flex items-center gap-2">
          <ThemeSwitch />
          <LanguageSwitch />
        </div>
      </Section>
    </>
  );
}

function DataPart({ client, onGone }: { client: ChatClient; onGone(): void }) {
  const text = useText();
  const take = useTask();
  const end = useTask();
  const [receipt, setReceipt] = useState<Receipt | null>(null);
  const word = client.user.email ?? client.user.display_name;
  return (
    <>
      <Section title={text.settings.takeout} note={text.settings.takeoutNote}>
        <button
          type="button"
          className="line-button"
          data-testid="takeout"
          disabled={take.busy}
          onClick={() =>
            void take.run(async () => {
              const day = new Date().toISOString().slice(0, 10);
              saveAs(await client.rest(account.takeout), `chorus-${day}.zip`);
            })
          }
        >
          <Download className="h-4 w-4" />
          {take.busy ? text.settings.takeoutBusy : text.settings.takeoutDo}
        </button>
        <Failure code={take.failure} />
      </Section>
      <Section title={text.settings.remove} note={text.settings.removeNote}>
        <TypedConfirm
          expected={word}
          label={text.settings.typeEmail(word)}
          button={text.settings.removeDo}
          testId="account-delete"
          busy={end.busy}
          onConfirm={(typed) =>
            void end.run(
              async () => {
                setReceipt(await client.removeAccount(typed));
              },
              { 422: "wrong_confirm", 409: "owns_shared" },
            )
          }
        />
        <Failure code={end.failure} testId="account-delete-failure" />
      </Section>
      {receipt !== null && (
        <Dialog title={text.settings.receipt} testId="receipt" onClose={onGone}>
          <div className="space-y-4 text-sm">
            <p className="break-words text-ink-soft">{text.settings.receiptLead(receipt.id)}</p>
            <div>
              <h3 className="font-medium">{text.settings.done}</h3>
              <ul className="mt-1 list-disc space-y-1 pl-5 text-ink-soft">
                {receipt.done.map((one) => (
                  <li key={one}>{one}</li>
                ))}
              </ul>
            </div>
            {receipt.kept.length > 0 && (
              <div>
                <h3 className="font-medium">{text.settings.kept}</h3>
                <ul className="mt-1 list-disc space-y-1 pl-5 text-ink-soft">
                  {receipt.kept.map((one) => (
                    <li key={one.what}>
                      {one.what}: {one.why}
                    </li>
                  ))}
                </ul>
              </div>
            )}
            <button type="button" className="solid-button w-full" onClick={onGone}>
              {text.settings.finish}
            </button>
          </div>
        </Dialog>
      )}
    </>
  );
}
