import { Component, type ReactNode, Suspense } from "react";
import { useText } from "../i18n/context";
import { Again } from "./icons";

interface Props {
  /** While its file is on its way. */
  waiting?: ReactNode;
  /** Where its file did not come; without it there is a way to load the page anew. */
  failed?: ReactNode;
  children: ReactNode;
}

/** A part of the page that comes in a file of its own, when it is needed. */
export class Part extends Component<Props, { failed: boolean }> {
  override state = { failed: false };

  static getDerivedStateFromError() {
    return { failed: true };
  }

  override render() {
    const { waiting = <Loading />, failed = <NotLoaded />, children } = this.props;
    return this.state.failed ? failed : <Suspense fallback={waiting}>{children}</Suspense>;
  }
}

function Loading() {
  const text = useText();
  return (
    <p role="status" className="after-a-while flex-1 p-6 text-center text-sm text-ink-faint">
      {text.loading}
    </p>
  );
}

/** No network, or a new version of the page since this one was loaded. */
function NotLoaded() {
  const text = useText();
  return (
    <div
      role="alert"
      className="flex flex-1 flex-col items-center justify-center gap-3 p-6 text-center text-ink-soft"
      data-testid="not-loaded"
    >
      <p>{text.notLoaded}</p>
      <button type="button" className="line-button" onClick={() => location.reload()}>
        <Again className="h-4 w-4" />
        {text.loadAnew}
      </button>
    </div>
  );
}
