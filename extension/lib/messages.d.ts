// Generated from host/qnet/wire/messages.py by tools/generate.py.

export type AnyRequest = Hello | Capture | GetStatus | Connect | Disconnect | GetPac | Stop | GetRules | EditRules | RestoreRules | Upload | ImportRules | TestAddress | GetSettings | ChangeSettings | ExamineNetwork | JoinNetwork | GetInvitation | GetSubscriptions | Subscribe | Unsubscribe | Refresh;

/** The answer to request `id`: `ok` with the parts that the request asked for, or `error`. */
export interface Answer {
  id: number;
  ok: boolean;
  hello?: HelloInfo | null;
  status?: Status | null;
  proxy?: ProxyInfo | null;
  pac?: PacChunk | null;
  rules?: RulesPage | null;
  verdict?: VerdictInfo | null;
  imported?: ImportReport | null;
  settings?: SettingsInfo | null;
  proposal?: ProposalInfo | null;
  invitation?: InvitationInfo | null;
  subscriptions?: Subscription[] | null;
  capture?: CaptureInfo | null;
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

/** Tells which `browser` (its product's name) of which `version` this is; asks where to show its hello. */
export interface Capture {
  cmd: "capture";
  browser: string;
  version: string;
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

/** Asks for the person's own rules from `offset` on. */
export interface GetRules {
  cmd: "rules";
  offset?: number;
  id: number;
}

/** Changes generation `base`: the edits one after the other, and what else is given. */
export interface EditRules {
  cmd: "edit-rules";
  base: number;
  edits?: Edit[];
  default?: RuleAction | null;
  id: number;
}

/** At place `at` take `remove` rules out, then put `insert` there. */
export interface Edit {
  at: number;
  remove?: number;
  insert?: Rule[];
}

/** One rule; of an ordered list the first that matches decides. */
export interface Rule {
  kind: RuleKind;
  pattern: string;
  action: RuleAction;
  port?: number;
  country?: string;
  hops?: number;
  enabled?: boolean;
  note?: string;
}

/** What a rule's pattern is; every kind sees the canonical host only (`destination.canonical_host`). */
export type RuleKind = "cidr" | "domain" | "host" | "keyword" | "regex" | "wildcard";

/** What happens to what a rule matches. */
export type RuleAction = "block" | "direct" | "tunnel";

/** Makes an earlier generation the present one. */
export interface RestoreRules {
  cmd: "restore-rules";
  base: number;
  generation: number;
  id: number;
}

/** A piece of a file; `offset` 0 begins anew. Kept for this session until it is imported. */
export interface Upload {
  cmd: "upload";
  offset: number;
  text: string;
  id: number;
}

/** Reads the uploaded file. `trial` only reports. */
export interface ImportRules {
  cmd: "import-rules";
  base: number;
  action?: RuleAction;
  replace?: boolean;
  trial?: boolean;
  id: number;
}

/** Asks what happens to `address`, a URL or a host. */
export interface TestAddress {
  cmd: "test";
  address: string;
  id: number;
}

/** Asks for what a person may change while the helper runs, and between what. */
export interface GetSettings {
  cmd: "settings";
  id: number;
}

/** Changes what is given, at once and for later starts. `exit_country`: two letters, or empty for any. */
export interface ChangeSettings {
  cmd: "change-settings";
  hops?: number | null;
  exit_country?: string | null;
  id: number;
}

/** Asks what joining by an invitation link would mean; changes nothing. */
export interface ExamineNetwork {
  cmd: "examine-network";
  link: string;
  id: number;
}

/** Joins, after a person has agreed to what has this `fingerprint`; `replace`: to leave another one, too. */
export interface JoinNetwork {
  cmd: "join-network";
  link: string;
  fingerprint: string;
  replace?: boolean;
  id: number;
}

/** Asks for the link with which others join the present network. */
export interface GetInvitation {
  cmd: "invite";
  id: number;
}

/** Asks for the lists subscribed to, and how they are. */
export interface GetSubscriptions {
  cmd: "subscriptions";
  id: number;
}

/** Subscribes to the list at `url`: what it names gets `action`, what it excepts `exceptions`. */
export interface Subscribe {
  cmd: "subscribe";
  url: string;
  action: RuleAction;
  exceptions?: RuleAction;
  id: number;
}

/** Forgets the list at `url`, its rules included. */
export interface Unsubscribe {
  cmd: "unsubscribe";
  url: string;
  id: number;
}

/** Fetches the list at `url` now, through the tunnel, and waits for it. */
export interface Refresh {
  cmd: "refresh";
  url: string;
  id: number;
}

/** Who the helper is. */
export interface HelloInfo {
  version: number;
  helper: string;
  features: string[];
}

/** The helper's state; in unix seconds, `since` is when it entered `state`, `started` when it began. */
export interface Status {
  state: State;
  mode: string;
  version: string;
  since: number;
  started?: number;
  peers?: number;
  online?: number;
  circuits?: number;
  streams?: number;
  leases?: number;
  hops?: Hop[];
  traffic?: Traffic;
  rates?: Rates;
  reconnection_attempts?: number;
  last_error?: ErrorInfo | null;
  exit?: ExitCounts | null;
  pac_hash?: string;
  rules_generation?: number;
  routes?: Hop[][];
  warning?: ErrorInfo | null;
  resting?: boolean;
}

/** What the helper can do right now; it never claims more than is true. */
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

/** Bytes of content a second, up and down: over the last second, and over the last 60 (or since the start). */
export interface Rates {
  up?: number;
  down?: number;
  up_60?: number;
  down_60?: number;
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

/** What an exit did since its start: streams asked for, connected, refused by its policy, refused by its limits, and bytes carried. `month_bytes`: both ways since the month began (UTC), earlier runs included. */
export interface ExitCounts {
  requests?: number;
  success?: number;
  blocked?: number;
  limited?: number;
  traffic?: Traffic;
  month_bytes?: number;
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

/** The person's own rules from `offset` on, of `total`; what no rule matches gets `default`. */
export interface RulesPage {
  generation: number;
  default: RuleAction;
  total: number;
  offset: number;
  rules: Rule[];
  generations: Generation[];
  problem?: ErrorInfo | null;
}

/** A kept state of the rules, and when it was saved, in unix seconds. */
export interface Generation {
  number: number;
  saved: number;
}

/** What happens to `host`:`port`: the rule that decided and its place, or no rule where the default did. */
export interface VerdictInfo {
  host: string;
  port: number;
  action: RuleAction;
  rule?: Rule | null;
  index?: number;
  unmet?: boolean;
  section?: string;
}

/** What a file gave: how many rules, how many of them `direct`, how much trouble, the first hundred warnings. */
export interface ImportReport {
  rules: number;
  direct: number;
  trouble: number;
  warnings: string[];
  default?: RuleAction | null;
}

/** What is in force: `hops` and `exit_country` (empty: any) of the usual route. */
export interface SettingsInfo {
  hops: number;
  exit_country: string;
  peers: number;
  countries: ExitCountry[];
  network?: NetworkInfo | null;
  terms?: ExitTerms | null;
}

/** A country, two letters, and how many exits are known there. */
export interface ExitCountry {
  country: string;
  exits: number;
}

/** A network; `fingerprint` is for comparing aloud, ten groups of four hex digits. */
export interface NetworkInfo {
  name: string;
  fingerprint: string;
  operators: number;
}

/** What this node connects to for others: `ports`, or with `only` what its operator listed alone. */
export interface ExitTerms {
  ports: number[];
  only: boolean;
  connections: number;
  per_client: number;
  gigabytes: number;
}

/** What a link leads to. `relation` to the present network: first, same, newer, older, other. */
export interface ProposalInfo {
  network: NetworkInfo;
  relation: string;
}

/** The link to the present network, and as a QR code: a text of `1` (dark) and `0` a row, none if too large. */
export interface InvitationInfo {
  link: string;
  qr: string[];
}

/** A list: how many `rules` of it are in force, when it was `fetched` (0: never) and `checked`, and will be. */
export interface Subscription {
  url: string;
  action: RuleAction;
  exceptions: RuleAction;
  rules: number;
  trouble: number;
  fetched: number;
  checked: number;
  next: number;
  error?: ErrorInfo | null;
}

/** `url`: where the browser is to be sent once, empty where that is not needed. */
export interface CaptureInfo {
  url: string;
  known: boolean;
  problem: string;
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
