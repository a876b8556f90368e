package threecx

import (
	"errors"
	"fmt"
	"math"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// Event is one row of 3CX's event log that says that an address has been blacklisted.
//
// Its text is a list, "1.2.3.4,3600,<expiry>,<reason>", or the same as an array of strings, or the sentence
// "The IP 1.2.3.4 has been blacklisted for 3600 sec. Reason: <reason>".
type Event struct {
	ID      int64         // the row's key, for messages only; 0 where it is no number
	Event   int           // the event id, such as 12290; 0 from Options.Query
	Time    time.Time     // when it happened, by the clock of the 3CX box: UTC, microseconds
	Addr    netip.Addr    // unmapped, without zone
	Bantime time.Duration // whole seconds, 0 = not said
	Reason  string        // as the phone system has it, may be empty
}

var (
	errNoAddress = errors.New("no address in it")
	sentence     = regexp.MustCompile(`(?is)\bfor (\d+) sec(?:.*?\breason:(.*))?`)
)

// readText fills in what a row says: the elements of an array, or a text as the only one.
//
// The address is the first field; failing that, the only address anywhere. A second field that is another address
// is no ban time but a doubt.
func (e *Event) readText(params []string) error {
	fields := params
	if len(params) == 1 {
		fields = strings.Split(params[0], ",")
	}
	whole := strings.Join(params, ",")
	at := 0
	if len(fields) > 0 {
		e.Addr, _ = parseAddr(fields[0])
	}
	if len(fields) > 1 && e.Addr.IsValid() {
		if other, ok := parseAddr(fields[1]); ok && other != e.Addr {
			return twoAddresses(e.Addr, other)
		}
	}
	if !e.Addr.IsValid() {
		var err error
		if e.Addr, err = onlyAddr(whole); err != nil {
			return err
		}
		for at = 0; at < len(fields); at++ { // a later field, or (at = len(fields)) within a sentence
			if addr, ok := parseAddr(fields[at]); ok && addr == e.Addr {
				break
			}
		}
	}
	if at == len(fields) {
		if m := sentence.FindStringSubmatch(whole); m != nil {
			e.Bantime, e.Reason = seconds(m[1]), trimField(m[2])
		}
		return nil
	}
	if at+1 < len(fields) {
		e.Bantime = seconds(fields[at+1])
	}
	if at+3 < len(fields) {
		e.Reason = trimField(strings.Join(fields[at+3:], ","))
	}
	return nil
}

func twoAddresses(a, b netip.Addr) error { return fmt.Errorf("two addresses in it, %v and %v", a, b) }

// seconds reads a ban time. What is no positive number, or longer than a Duration can be (292 years), is not said.
func seconds(s string) time.Duration {
	n, err := strconv.ParseInt(trimField(s), 10, 64)
	if err != nil || n <= 0 || n > math.MaxInt64/int64(time.Second) {
		return 0
	}
	return time.Duration(n) * time.Second
}

// onlyAddr returns the address in a text that has exactly one, however often.
func onlyAddr(text string) (netip.Addr, error) {
	var found netip.Addr
	for _, word := range strings.FieldsFunc(text, func(r rune) bool {
		return !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune(":.%/[]-_", r)
	}) {
		addr, ok := parseAddr(word)
		switch {
		case !ok || addr == found:
		case found.IsValid():
			return netip.Addr{}, twoAddresses(found, addr)
		default:
			found = addr
		}
	}
	if !found.IsValid() {
		return found, errNoAddress
	}
	return found, nil
}

const (
	around      = " \t\r\n\"'(){}<>"
	punctuation = around + "[].:;!?"
)

// trimField removes what an array or a list that was stored as text leaves around its elements.
func trimField(s string) string { return strings.Trim(s, " \t\r\n\"{}[]") }

// parseAddr reads an address alone: with or without port, brackets, quotes, a scheme (sip:) or a zone. A network or
// an unspecified address is none.
func parseAddr(s string) (netip.Addr, bool) {
	if len(s) > 100 { // no address is; and schemes are peeled off one by one
		return netip.Addr{}, false
	}
	for _, try := range []string{s, strings.Trim(s, around), strings.Trim(s, punctuation)} {
		addr, err := netip.ParseAddr(try)
		if err != nil {
			var ap netip.AddrPort
			ap, err = netip.ParseAddrPort(try)
			addr = ap.Addr()
		}
		if err != nil {
			var p netip.Prefix
			if p, err = netip.ParsePrefix(try); err == nil && !p.IsSingleIP() {
				return netip.Addr{}, false
			}
			addr = p.Addr()
		}
		if err == nil {
			if addr = addr.WithZone("").Unmap(); addr.IsUnspecified() {
				return netip.Addr{}, false
			}
			return addr, true
		}
	}
	scheme, rest, ok := strings.Cut(strings.Trim(s, around), ":")
	if ok && scheme != "" && strings.IndexFunc(scheme, func(r rune) bool { return !unicode.IsLetter(r) }) < 0 {
		return parseAddr(rest)
	}
	return netip.Addr{}, false
}

// quote shows what came from elsewhere on a terminal: control characters escaped, cut at 200 bytes.
func quote(s string) string {
	const most = 200
	if len(s) > most {
		return strconv.Quote(strings.ToValidUTF8(s[:most], "")) + "…"
	}
	return strconv.Quote(s)
}
