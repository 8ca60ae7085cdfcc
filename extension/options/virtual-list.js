// A list that makes only the rows in sight, so that 100,000 are as quick as ten. One row is the current one: the Tab
// key reaches that one only, the arrow keys move it.

const ROW = 48;
const MARGIN = 6;

export class VirtualList {
  #scroller;
  #space;
  #make;
  #rows = new Map();
  #count = 0;
  #current = 0;

  /**
   * @param {HTMLElement} scroller  has one child, whose height stands for all rows
   * @param {(index: number, current: boolean) => HTMLElement} make  a row; its first button is what gets the focus
   */
  constructor(scroller, make) {
    this.#scroller = scroller;
    this.#space = scroller.firstElementChild;
    this.#make = make;
    scroller.addEventListener("scroll", () => this.#fill());
    scroller.addEventListener("keydown", (event) => this.#key(event));
    scroller.addEventListener("focusin", ({ target }) => {
      const row = target.closest("[data-index]");
      if (row) this.#setCurrent(Number(row.dataset.index));
    });
    new ResizeObserver(() => this.#fill()).observe(scroller);
  }

  get current() {
    return this.#current;
  }

  /** All rows anew. @param {number} count */
  show(count) {
    const focused = this.#scroller.contains(document.activeElement);
    this.#count = count;
    this.#current = Math.max(0, Math.min(this.#current, count - 1));
    this.#space.style.blockSize = `${count * ROW}px`;
    for (const row of this.#rows.values()) row.remove();
    this.#rows.clear();
    this.#fill();
    if (focused && count) this.focus(this.#current);
  }

  /** @param {number} index */
  focus(index) {
    this.#setCurrent(Math.max(0, Math.min(index, this.#count - 1)));
    const { scrollTop, clientHeight } = this.#scroller;
    const top = this.#current * ROW;
    if (top < scrollTop) this.#scroller.scrollTop = top;
    else if (top + ROW > scrollTop + clientHeight) this.#scroller.scrollTop = top + ROW - clientHeight;
    this.#fill();
    this.#rows.get(this.#current)?.querySelector("button").focus({ preventScroll: true });
  }

  #setCurrent(index) {
    if (index === this.#current) return;
    for (const each of [this.#current, index]) {
      const row = this.#rows.get(each);
      for (const button of row?.querySelectorAll("button") ?? []) button.tabIndex = each === index ? 0 : -1;
    }
    this.#current = index;
  }

  #fill() {
    const { scrollTop, clientHeight } = this.#scroller;
    const from = Math.max(0, Math.floor(scrollTop / ROW) - MARGIN);
    const to = Math.min(this.#count, Math.ceil((scrollTop + clientHeight) / ROW) + MARGIN);
    for (const [index, row] of this.#rows) {
      if ((index < from || index >= to) && index !== this.#current) {
        row.remove();
        this.#rows.delete(index);
      }
    }
    for (let index = from; index < to; index++) if (!this.#rows.has(index)) this.#add(index);
    // The current row stays, so that the Tab key finds it wherever the list is scrolled to.
    if (this.#count && !this.#rows.has(this.#current)) this.#add(this.#current);
  }

  #add(index) {
    const row = this.#make(index, index === this.#current);
    row.dataset.index = String(index);
    row.style.insetBlockStart = `${index * ROW}px`;
    row.setAttribute("role", "listitem");
    row.ariaSetSize = String(this.#count);
    row.ariaPosInSet = String(index + 1);
    for (const button of row.querySelectorAll("button")) button.tabIndex = index === this.#current ? 0 : -1;
    this.#rows.set(index, row);
    const next = [...this.#space.children].find((other) => Number(other.dataset.index) > index);
    this.#space.insertBefore(row, next ?? null);
  }

  #key(event) {
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    const page = Math.max(1, Math.floor(this.#scroller.clientHeight / ROW) - 1);
    const steps = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -this.#count, End: this.#count };
    if (!Object.hasOwn(steps, event.key)) return;
    event.preventDefault();
    this.focus(this.#current + steps[event.key]);
  }
}
