/** Markdown as a page. Never HTML of its own, never an address fetched before somebody clicks. */
import { type ComponentProps, useRef } from "react";
import ReactMarkdown, { type Components } from "react-markdown";
import remarkGfm from "remark-gfm";
import { useText } from "../i18n/context";
import { useCopied } from "./hooks";
import { Check, Copy } from "./icons";

const COMPONENTS: Components = {
  a: ({ href, children }) =>
    href?.startsWith("#") ? <span>{children}</span> : <OutLink href={href}>{children}</OutLink>,
  img: ({ src, alt }) => <ImageLink src={typeof src === "string" ? src : undefined} alt={alt} />,
  pre: ({ children }) => <CodeBlock>{children}</CodeBlock>,
  table: ({ children }) => (
    <div className="thin-scroll overflow-x-auto">
      <table>{children}</table>
    </div>
  ),
};

const PLUGINS = [remarkGfm];

export function Prose({ text }: { text: string }) {
  return (
    <ReactMarkdown remarkPlugins={PLUGINS} components={COMPONENTS}>
      {text}
    </ReactMarkdown>
  );
}

function OutLink({ href, children }: ComponentProps<"a">) {
  return (
    <a href={href} target="_blank" rel="noopener noreferrer">
      {children}
    </a>
  );
}

/** An image's address tells its owner who looked and when: it is opened by a click, not by an answer. */
function ImageLink({ src, alt }: { src: string | undefined; alt: string | undefined }) {
  const text = useText();
  return <OutLink href={src}>{`${text.answer.image}${alt ? `: ${alt}` : ""}`}</OutLink>;
}

function CodeBlock({ children }: ComponentProps<"pre">) {
  const text = useText();
  const [copied, copy] = useCopied();
  const pre = useRef<HTMLPreElement>(null);
  const language = languageOf(children);
  const label = copied ? text.answer.copied : text.answer.copy;
  return (
    <div className="overflow-hidden rounded-xl border border-line bg-sunken">
      <div className="flex items-center justify-between border-b border-line py-1 pl-4 pr-1.5 text-xs text-ink-faint">
        <span className="font-mono">{language}</span>
        <button
          type="button"
          className="quiet-button px-2 py-1 text-xs"
          data-testid="copy-code"
          onClick={() => copy(pre.current?.textContent ?? "")}
        >
          {copied ? <Check className="h-3.5 w-3.5" /> : <Copy className="h-3.5 w-3.5" />}
          {label}
        </button>
      </div>
      <pre ref={pre} className="thin-scroll overflow-x-auto px-4 py-3 font-mono text-[0.8125rem] leading-6">
        {children}
      </pre>
    </div>
  );
}

function languageOf(children: unknown): string {
  const props = (children as { props?: { className?: string } } | null)?.props;
  return /language-([\w+#-]+)/.exec(props?.className ?? "")?.[1] ?? "";
}
