import { lazy, memo } from "react";
import { Part } from "./Part";

const Prose = lazy(async () => ({ default: (await import("./Prose")).Prose }));

/** Text from a model: as a page, and until what sets it has come, as it is. */
export const Markdown = memo(function Markdown({ text, streaming }: { text: string; streaming: boolean }) {
  const plain = <p className="whitespace-pre-wrap">{text}</p>;
  return (
    <div className={`prose-answer ${streaming ? "is-streaming" : ""}`}>
      <Part waiting={plain} failed={plain}>
        <Prose text={text} />
      </Part>
    </div>
  );
});
