package commands

// What a command prints:
//
//   - stdout carries the answer and nothing else, so that it can be piped;
//   - everything else goes to stderr, one line each, as "f2bc: lower case, no full stop";
//   - when stderr is no terminal the same lines go to syslog too: fail2ban shows an action's stderr only when the
//     action fails, cron mails it to nobody;
//   - sources and reasons come from other machines, so control characters are escaped in whatever is printed;
//   - no line carries a password.

import (
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"

	"f2bc/store"
)

// maxSyslog bounds the lines of one run in syslog: a file with a million bad lines must not flood it.
const maxSyslog = 100

// syslogSocket is a variable for tests.
var syslogSocket = "/dev/log"

// RFC 3164 priorities, facility daemon.
const (
	syslogError  = 3<<3 | 3
	syslogNotice = 3<<3 | 5
)

type output struct {
	stdout, stderr io.Writer
	terminal       bool // stderr is one

	once func(note string) string // if set, it returns what is said instead of a note, which may be nothing

	mu       sync.Mutex // of what follows: sync-routes --watch says things from two goroutines
	syslog   net.Conn
	lines    int
	writeErr error // the first failed write to stdout
}

func newOutput(stdout, stderr io.Writer) *output {
	o := &output{stderr: stderr, terminal: isTerminal(stderr)}
	o.stdout = &answer{o, stdout}
	return o
}

// answer remembers a failed write to stdout (a full disk, a closed pipe), which few callers would check.
type answer struct {
	o *output
	w io.Writer
}

func (a *answer) Write(b []byte) (int, error) {
	n, err := a.w.Write(b)
	if err != nil && a.o.writeErr == nil {
		a.o.writeErr = err
	}
	return n, err
}

// failed returns why the answer did not reach stdout whole, or nil.
func (o *output) failed() error {
	if o.writeErr == nil {
		return nil
	}
	return fmt.Errorf("write the answer: %w", o.writeErr)
}

// say prints a note or a warning.
func (o *output) say(format string, args ...any) { o.sayOnce(o.once, fmt.Sprintf(format, args...)) }

// sayOnce prints what once makes of a note.
func (o *output) sayOnce(once func(note string) string, note string) {
	if once != nil {
		note = once(note)
	}
	if note != "" {
		o.line(syslogNotice, note)
	}
}

// fail prints an error.
func (o *output) fail(err error) { o.line(syslogError, err.Error()) }

func (o *output) line(priority int, text string) {
	text = printable(store.HidePasswords(strings.TrimSpace(text)))
	o.mu.Lock()
	defer o.mu.Unlock()
	fmt.Fprintf(o.stderr, "f2bc: %s\n", text)
	if o.terminal {
		return
	}
	if o.lines++; o.lines > maxSyslog {
		return
	}
	if o.lines == maxSyslog {
		text += " (further lines of this run are on stderr only)"
	}
	o.toSyslog(priority, text)
}

// toSyslog cannot report its own failure anywhere better than stderr, where the line already is.
func (o *output) toSyslog(priority int, text string) {
	if o.syslog == nil {
		c, err := net.DialTimeout("unixgram", syslogSocket, time.Second)
		if err != nil {
			o.lines = maxSyslog // no second try
			return
		}
		o.syslog = c
	}
	o.syslog.SetWriteDeadline(time.Now().Add(time.Second)) // a syslog daemon that hangs must not hang fail2ban
	if _, err := fmt.Fprintf(o.syslog, "<%d>f2bc[%d]: %s", priority, os.Getpid(), text); err != nil {
		o.lines = maxSyslog
	}
}

func (o *output) close() {
	if o.syslog != nil {
		o.syslog.Close()
	}
}

// isTerminal takes every character device but /dev/null for a terminal.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	if err != nil || info.Mode()&os.ModeCharDevice == 0 {
		return false
	}
	null, err := os.Stat(os.DevNull)
	return err != nil || !os.SameFile(info, null)
}

// printable escapes what is not printable: control characters and invalid UTF-8, but also marks that turn the
// direction of writing.
func printable(s string) string {
	clean := true
	for _, r := range s {
		if !unicode.IsPrint(r) || r == utf8.RuneError {
			clean = false
			break
		}
	}
	if clean {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && n == 1:
			fmt.Fprintf(&b, `\x%02x`, s[i])
		case unicode.IsPrint(r):
			b.WriteString(s[i : i+n])
		default:
			q := strconv.QuoteRuneToASCII(r)
			b.WriteString(q[1 : len(q)-1])
		}
		i += n
	}
	return b.String()
}
