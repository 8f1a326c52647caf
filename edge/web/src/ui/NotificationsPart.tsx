import { useText } from "../i18n/context";
import type { ChatClient } from "../net/client";
import * as api from "../net/notifications";
import { Failure, Said, Section, useLoaded, useTask } from "./forms";

export const KINDS = ["mention", "answer", "invitation", "budget", "deployment", "training"] as const;
const CHANNELS = ["app", "email", "webhook"] as const;

/** Of what somebody wants to be told, and how. Each choice is kept at once. */
export function NotificationsPart({ client }: { client: ChatClient }) {
  const text = useText();
  const loaded = useLoaded(() => client.rest(api.preferences));
  const task = useTask();
  const present = loaded.value;

  function choose(kind: api.Kind, channel: (typeof CHANNELS)[number], on: boolean) {
    if (present === null) return;
    const wanted = { ...present, [kind]: { ...present[kind], [channel]: on } };
    loaded.set(wanted);
    void task
      .run(async () => loaded.set(await client.rest((token) => api.prefer(token, wanted))))
      .then((done) => done || loaded.set(present));
  }

  return (
    <Section title={text.settings.notifications} note={text.bell.preferencesNote}>
      <Failure code={loaded.failure} />
      {loaded.failure !== null && (
        <button type="button" className="line-button" onClick={loaded.again}>
          {text.answer.again}
        </button>
      )}
      {present === null && loaded.failure === null && (
        <p className="after-a-while text-sm text-ink-faint" role="status">
          {text.loading}
        </p>
      )}
      {present !== null && (
        <table className="w-full text-sm" data-testid="preferences">
          <thead>
            <tr className="text-ink-soft">
              <th className="py-2 text-left font-medium">{text.bell.what}</th>
              {CHANNELS.map((channel) => (
                <th key={channel} scope="col" className="w-[4.5rem] px-1 py-2 text-center font-medium">
                  {text.bell.channels[channel]}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {KINDS.map((kind) => (
              <tr key={kind} className="border-t border-line">
                <th scope="row" className="py-2.5 pr-2 text-left font-normal">
                  {text.bell.kinds[kind]}
                </th>
                {CHANNELS.map((channel) => (
                  <td key={channel} className="px-1 py-2.5 text-center">
                    <input
                      type="checkbox"
                      className="h-5 w-5 accent-accent"
                      data-testid={`prefer-${kind}-${channel}`}
                      aria-label={`${text.bell.kinds[kind]}: ${text.bell.channels[channel]}`}
                      checked={present[kind]?.[channel] ?? channel !== "email"}
                      disabled={task.busy}
                      onChange={(event) => choose(kind, channel, event.target.checked)}
                    />
                  </td>
                ))}
              </tr>
            ))}
          </tbody>
        </table>
      )}
      <Failure code={task.failure} />
      <Said>{task.done && text.project.saved}</Said>
      <p className="text-sm text-ink-faint">{text.bell.emailNote}</p>
    </Section>
  );
}
