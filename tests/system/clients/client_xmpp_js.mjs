// client_xmpp_js: @xmpp/client (of npm) with its default settings behind the command language of driver.h.
//
// CLIENT_MODULES is the node_modules folder; NODE_EXTRA_CA_CERTS (Node's own) whom to trust. CLIENT_TLS=direct: directly.
import { setDefaultResultOrder } from "node:dns";
import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";
import { webcrypto } from "node:crypto";

globalThis.crypto ??= webcrypto; // Node 18, which Debian 12 has
const { client, xml } = await import(pathToFileURL(process.env.CLIENT_MODULES + "/@xmpp/client/index.js"));

setDefaultResultOrder("ipv4first"); // `localhost` is 127.0.0.1
const ROSTER = "jabber:iq:roster";
const [host, port, user, password, resource] = process.argv.slice(2);
const [username, domain] = user.split("@");
const xmpp = client({
  // With STARTTLS the certificate is held against the domain, with direct TLS against what is connected to.
  service: process.env.CLIENT_TLS === "direct" ? `xmpps://${domain}:${port}` : `xmpp://${host}:${port}`,
  domain,
  username,
  password,
  ...(resource && { resource }),
});
xmpp.timeout = 20_000; // not 2 s: the machine may have other things to do
let online = false;
let quitting = false;
let why = null;

function say(...words) {
  console.log(words.join(" ").replace(/[\r\n]/g, " "));
}

function items(query) {
  for (const { attrs } of query.getChildren("item"))
    say("roster", attrs.jid, attrs.subscription, attrs.name ?? "");
}

function stanzaArrived(stanza) {
  if (stanza.is("message") && stanza.getChildText("body") !== null) {
    const delayed = stanza.getChild("delay", "urn:xmpp:delay") ?? stanza.getChild("x", "jabber:x:delay");
    say(delayed ? "delayed" : "message", stanza.attrs.from, stanza.getChildText("body"));
  } else if (stanza.is("presence")) {
    say("presence", stanza.attrs.from, stanza.attrs.type ?? "available");
  }
}

async function obey(line) {
  const [verb, to, ...rest] = line.split(" ");
  if (verb === "presence") {
    await xmpp.send(xml("presence", { ...(to && { type: to }), ...(rest[0] && { to: rest[0] }) }));
  } else if (verb === "message") {
    await xmpp.send(xml("message", { type: "chat", to }, xml("body", {}, rest.join(" "))));
  } else if (verb === "roster" && to) {
    await xmpp.iqCaller.set(xml("query", ROSTER, xml("item", { jid: to, name: rest.join(" ") })));
  } else if (verb === "roster") {
    items(await xmpp.iqCaller.get(xml("query", ROSTER)));
    say("roster complete");
  } else if (verb === "quit") {
    await quit();
  }
}

async function quit() {
  quitting = true;
  await xmpp.stop();
}

async function end() {
  xmpp.reconnect.stop();
  say("closed", quitting ? "quit" : (why ?? (online ? "by the server" : "not logged in")));
  process.exit(quitting ? 0 : 1);
}

xmpp.on("error", (error) => {
  // The second is the connection's own end, which follows the reason.
  why ??= error.name === "SASLError" ? "refused " + error.condition :
    error.name === "StreamError" ? "stream error " + error.condition : error.message;
});
xmpp.on("stanza", stanzaArrived);
xmpp.iqCallee.set(ROSTER, "query", ({ element }) => {
  items(element);
  say("roster pushed");
  return true;
});
xmpp.on("disconnect", end);
xmpp.on("offline", end);
xmpp.on("online", (jid) => {
  online = true;
  say("online", jid.toString());
  let before = Promise.resolve();
  const lines = createInterface({ input: process.stdin });
  lines.on("line", (line) => { before = before.then(() => obey(line)); });
  lines.on("close", () => { before = before.then(quit); });
});
xmpp.start().catch(() => end());
