import { useText } from "../i18n/context";
import type { Agent } from "../net/protocol";
import { Check, Chevron } from "./icons";
import { MenuItem, PopoverMenu } from "./Popover";

/** Who answers: one of the project's agents, or nobody. */
export function AgentMenu({
  agents,
  chosen,
  label,
  testId,
  onChoose,
}: {
  agents: readonly Agent[];
  chosen: string | null;
  label: string;
  testId: string;
  onChoose(agentId: string | null): void;
}) {
  const text = useText();
  const name = agents.find((one) => one.id === chosen)?.name ?? (chosen === null ? text.project.nobody : "…");
  const tick = (on: boolean) => <Check className={`h-4 w-4 text-accent ${on ? "" : "invisible"}`} />;
  return (
    <PopoverMenu
      label={`${label}: ${name}`}
      testId={testId}
      className="quiet-button min-w-0 max-w-[9rem] shrink-0 px-2 py-1 text-xs"
      icon={
        <>
          <span className="truncate">{name}</span>
          <Chevron className="h-3.5 w-3.5 shrink-0" />
        </>
      }
    >
      <p className="px-2.5 pb-1 pt-1.5 text-xs text-ink-faint" role="presentation">
        {label}
      </p>
      {agents.map((one) => (
        <MenuItem
          key={one.id}
          testId="agent-choice"
          icon={tick(one.id === chosen)}
          onSelect={() => onChoose(one.id)}
        >
          <span className="max-w-[13rem] truncate">{one.name}</span>
        </MenuItem>
      ))}
      <MenuItem testId="agent-nobody" icon={tick(chosen === null)} onSelect={() => onChoose(null)}>
        {text.people.nobody}
      </MenuItem>
    </PopoverMenu>
  );
}
