// Generated from host/qnet/wire/messages.py by tools/generate.py.

export type AnyRequest = Hello | GetStatus | Connect | Disconnect | GetPac | Stop;

/** The answer to request `id`: `ok` with the parts that the request asked for, or `error`. */
export interface Answer {
  id: number;
  ok: boolean;
  hello?: HelloInfo | null;
  status?: Status | null;
  proxy?: ProxyInfo | null;
  pac?: PacChunk | null;
  error?: ErrorInfo | null;
}

export type AnyEvent = StatusEvent | FailedEvent;

/** Opens a session. `client` names the browser or `cli`. */
export interface Hello {
  cmd: "hello";
  version: number;
  client?: string;
  id: number;
}

/** Asks for the status once. */
export interface GetStatus {
  cmd: "status";
  id: number;
}

/** Takes a lease on the tunnel: the helper builds a circuit and keeps it while any lease is held. */
export interface Connect {
  cmd: "connect";
  id: number;
}

/** Gives this session's lease back. Another session's lease is not touched. */
export interface Disconnect {
  cmd: "disconnect";
  id: number;
}

/** Asks for the proxy auto-configuration from `offset` on, in characters. */
export interface GetPac {
  cmd: "pac";
  offset?: number;
  id: number;
}

/** Ends the helper. */
export interface Stop {
  cmd: "stop";
  id: number;
}

/** Who the helper is. */
export interface HelloInfo {
  version: number;
  helper: string;
  features: string[];
}

/** The helper's state; `since` in unix seconds is when it entered `state`. */
export interface Status {
  state: State;
  mode: string;
  version: string;
  since: number;
  peers?: number;
  circuits?: number;
  streams?: number;
  leases?: number;
  hops?: Hop[];
  traffic?: Traffic;
  reconnection_attempts?: number;
  last_error?: ErrorInfo | null;
  exit?: ExitCounts | null;
}

/** What the helper can do for a browser right now; it never claims more than is true. */
export type State = "calibrating" | "connected" | "connecting" | "offline";

/** One hop of the circuit in use, nearest first. */
export interface Hop {
  nickname: string;
  country?: string;
  exit?: boolean;
}

/** Bytes of content since the helper's start. */
export interface Traffic {
  up?: number;
  down?: number;
}

/** What went wrong, where, and what to do; `code` is stable and never translated. */
export interface ErrorInfo {
  code: string;
  message: string;
  hint?: string;
  place?: Place | null;
}

/** Where on the way a failure happened: what the popup tells a person. */
export type Place = "destination" | "exit" | "host" | "local network" | "mesh";

/** What an exit did since its start: streams asked for, connected, refused by its policy. */
export interface ExitCounts {
  requests?: number;
  success?: number;
  blocked?: number;
}

/** Where this session's browser finds the proxy; `pac_hash` names the PAC that belongs to it. */
export interface ProxyInfo {
  host: string;
  port: number;
  pac_hash: string;
}

/** A piece of the PAC: `text` from `offset` on, of `size` characters in all. */
export interface PacChunk {
  hash: string;
  size: number;
  offset: number;
  text: string;
}

/** The status changed. */
export interface StatusEvent {
  event: "status";
  status: Status;
}

/** Said by the native host itself, then it ends: the helper could not be started, or is gone. */
export interface FailedEvent {
  event: "failed";
  error: ErrorInfo;
}
