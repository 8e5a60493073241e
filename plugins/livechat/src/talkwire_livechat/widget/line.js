// The line to the server: it is tried again and again until told to stop, and says what comes in.

const PING_EVERY = 30 * SECOND;
const PATIENCE = 10 * SECOND; // for a frame after a ping, for a connection, for the first welcome
const LONGEST = 30 * SECOND;

class Line {
  // `talk` has hello() → frame, take(frame), up(), down(), stopped(reason)
  constructor(talk) {
    this.talk = talk;
    this.socket = null;
    this.ready = false;
    this.wanted = false;
    this.tries = 0;
    this.earliest = 0; // the server asked for peace until then
    this.heard = 0;
    this.timer = 0;
    this.release = null;
    setInterval(() => this.beat(), PING_EVERY);
    addEventListener("online", () => this.wake());
    addEventListener("offline", () => this.lose());
    addEventListener("pageshow", () => this.wake());
    document.addEventListener("visibilitychange", () => !document.hidden && this.wake());
  }

  open() {
    this.wanted = true;
    if (!this.socket) this.connect();
  }

  close() {
    this.wanted = false;
    this.lose();
  }

  send(frame) {
    if (!this.socket || this.socket.readyState !== WebSocket.OPEN) return false;
    this.socket.send(JSON.stringify(frame));
    return true;
  }

  beat() {
    if (!document.hidden) this.probe();
  }

  // The machine woke up, or the page is looked at again: is there still somebody?
  wake() {
    if (!this.wanted) return;
    if (this.socket) this.probe();
    else if (Date.now() >= this.earliest) this.connect();
  }

  probe() {
    if (!this.ready) return;
    const asked = performance.now();
    this.send({ t: "ping" });
    this.expect(() => this.heard >= asked);
  }

  expect(is_well) {
    const socket = this.socket;
    setTimeout(() => socket && socket === this.socket && !is_well() && this.lose(), PATIENCE);
  }

  connect() {
    clearTimeout(this.timer);
    this.tries += 1;
    const begin = () => {
      if (!this.wanted || this.socket) return;
      const socket = new WebSocket(`${BASE.replace(/^http/, "ws")}/c/${ACCOUNT}/socket`);
      this.socket = socket;
      socket.onopen = () => this.send(this.talk.hello());
      socket.onmessage = (event) => this.take(socket, event.data);
      socket.onclose = (event) => socket === this.socket && this.lose(event.code);
      this.expect(() => this.ready);
      this.talk.changed();
    };
    if (this.talk.is_known()) return begin();
    // Two tabs opened at once shall not become two visitors: the second waits until the first has a token.
    alone("hello", () => {
      begin();
      return this.talk.is_known() || !this.socket ? null : new Promise((resolve) => (this.release = resolve));
    });
  }

  take(socket, data) {
    if (socket !== this.socket) return;
    this.heard = performance.now();
    let frame;
    try {
      frame = obj(JSON.parse(data));
    } catch {
      return;
    }
    this.talk.take(frame);
    if (frame.t === "welcome") this.let_go();
    if (frame.t === "ready") {
      this.ready = true;
      this.tries = 0;
      this.talk.up();
    }
  }

  let_go() {
    if (this.release) this.release();
    this.release = null;
  }

  // The socket is gone, or taken for gone; what it may still say is not heard.
  lose(code) {
    const socket = this.socket;
    this.socket = null;
    this.ready = false;
    this.let_go();
    if (socket) {
      socket.onopen = socket.onmessage = socket.onclose = null;
      socket.close();
      this.talk.down();
    }
    clearTimeout(this.timer);
    if (!this.wanted || this.talk.closed(code)) return;
    const pause = this.pause(code);
    if (code === 4029 || code === 1008) this.earliest = Date.now() + pause;
    this.timer = setTimeout(() => this.connect(), pause);
  }

  pause(code) {
    if (code === 4029) return 60 * SECOND;
    if ((code === 4008 || code === 4001) && this.tries < 3) return 0;
    if (code === 1012) return SECOND * (0.5 + 2.5 * Math.random());
    const longer = Math.min(LONGEST, (SECOND / 2) * 2 ** Math.min(this.tries - 1, 8)) * (0.5 + Math.random() / 2);
    return code === 1008 ? Math.max(longer, 60 * SECOND) : longer;
  }
}
