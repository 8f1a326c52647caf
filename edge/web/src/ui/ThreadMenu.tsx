import type { ReactNode } from "react";
import { useText } from "../i18n/context";
import type { Conversation } from "../net/protocol";
import type { ExportFormat } from "../net/threads";
import { Archive, Dots, Download, Pencil, Pin, Restore, Share, Trash } from "./icons";
import { MenuItem, PopoverMenu } from "./Popover";

export interface ThreadActions {
  onRename(): void;
  onPin(id: string, pinned: boolean): void;
  onArchive(id: string, archived: boolean): void;
  onDelete(id: string): void;
  onShare(id: string): void;
  onExport(id: string, format: ExportFormat): void;
}

interface Props extends ThreadActions {
  conversation: Conversation;
  label: string;
  testId: string;
  className?: string;
  mayWrite: boolean;
  /** Archive, delete. */
  mayEnd: boolean;
}

/** Everything that can be done with a conversation, by somebody of this role. */
export function ThreadMenu({ conversation, label, testId, className, mayWrite, mayEnd, ...on }: Props) {
  const text = useText();
  const { id, archived, pinned = false } = conversation;
  const item = (name: string, icon: ReactNode, label: string, onSelect: () => void, danger = false) => (
    <MenuItem testId={name} icon={icon} danger={danger} onSelect={onSelect}>
      {label}
    </MenuItem>
  );
  const size = "h-4 w-4";
  return (
    <PopoverMenu
      label={label}
      icon={<Dots />}
      testId={testId}
      {...(className === undefined ? {} : { className })}
    >
      {mayWrite && item("rename", <Pencil className={size} />, text.list.rename, on.onRename)}
      {item("pin", <Pin className={size} />, pinned ? text.menu.unpin : text.menu.pin, () =>
        on.onPin(id, !pinned),
      )}
      {mayWrite && item("share", <Share className={size} />, text.menu.share, () => on.onShare(id))}
      {item("export-markdown", <Download className={size} />, text.menu.markdown, () =>
        on.onExport(id, "markdown"),
      )}
      {item("export-json", <Download className={size} />, text.menu.json, () => on.onExport(id, "json"))}
      {mayEnd &&
        item(
          archived ? "restore" : "archive",
          archived ? <Restore className={size} /> : <Archive className={size} />,
          archived ? text.list.restore : text.list.archive,
          () => on.onArchive(id, !archived),
        )}
      {mayEnd && item("delete", <Trash className={size} />, text.list.delete, () => on.onDelete(id), true)}
    </PopoverMenu>
  );
}
