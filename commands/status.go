package commands

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"f2bc/commands/human"
	"f2bc/store"
)

// A host that syncs every minute and was not seen for this long does not.
const hostSilent = 5 * time.Minute

func (p *process) statusCommand() *cli.Command {
	return &cli.Command{
		Name:  "status",
		Usage: "say what works and what does not, on this host and in the fleet",
		Description: `One line for each of: the store, the outbox of this host, its last sync-routes, and every other host
that has not synced for 5 minutes or whose last sync failed. Exit code 1 if anything does not work.`,
		Flags:  globalFlags(),
		Action: p.configured(noArguments, p.status),
	}
}

var errBroken = errors.New("not everything works")

func (p *process) status(ctx context.Context, cfg *config) error {
	broken := false
	line := func(ok bool, what, format string, args ...any) {
		word := "ok"
		if !ok {
			word, broken = "BAD", true
		}
		fmt.Fprintf(p.out.stdout, "%-7s %-4s %s\n", what, word, printable(fmt.Sprintf(format, args...)))
	}
	st := p.statusStore(ctx, cfg, line)
	if st != nil {
		defer st.Close()
	}
	p.statusOutbox(ctx, cfg, line)
	if st != nil {
		if err := p.statusHosts(ctx, cfg, st, line); err != nil {
			line(false, "hosts", "%v", err)
		}
		p.statusDatabase(ctx, cfg, st, line)
	}
	if broken {
		return errBroken
	}
	return nil
}

// statusStore opens the store, and delivers what waits as every command does.
func (p *process) statusStore(ctx context.Context, cfg *config, line func(bool, string, string, ...any)) *store.Store {
	start := time.Now()
	st, err := p.openStore(ctx, cfg)
	if err != nil {
		line(false, "store", "%v", err)
		return nil
	}
	took := time.Since(start).Round(time.Millisecond)
	newer := ""
	if st.Newer() {
		newer = ", made by a newer f2bc, which does no harm"
	}
	line(true, "store", "%s, id %s, opened in %v%s", store.HidePasswords(cfg.DSN), st.ID(), took, newer)
	return st
}

func (p *process) statusOutbox(ctx context.Context, cfg *config, line func(bool, string, string, ...any)) {
	if _, err := os.Lstat(store.OutboxPath(cfg.state)); errors.Is(err, os.ErrNotExist) {
		line(true, "outbox", "empty")
		return
	}
	outbox, err := store.OpenOutbox(ctx, cfg.state)
	if err != nil {
		line(false, "outbox", "%v", err)
		return
	}
	defer outbox.Close()
	state, err := outbox.State(ctx)
	switch {
	case err != nil:
		line(false, "outbox", "%v", err)
	case state.Waiting > 0:
		line(false, "outbox", "%s for the store, the oldest for %v", human.Count(state.Waiting, "fact waits", "facts wait"),
			time.Since(state.Oldest).Round(time.Second))
	default:
		line(true, "outbox", "empty")
	}
	if state.Aside > 0 {
		line(false, "outbox", "%s by the store for good: sqlite3 %s 'SELECT error FROM fact'",
			human.Count(state.Aside, "fact was rejected", "facts were rejected"), store.OutboxPath(cfg.state))
	}
}

// statusHosts says how the last sync of this host went, and which other hosts do not sync.
func (p *process) statusHosts(ctx context.Context, cfg *config, st *store.Store, line func(bool, string, string, ...any)) error {
	hosts, now, err := hostsNow(ctx, st)
	if err != nil {
		return err
	}
	own, good, others := "never: this host enforces nothing; see f2bc setup cron", false, 0
	for _, h := range hosts {
		ago := time.Duration(now-h.At) * time.Microsecond
		text := fmt.Sprintf("%v ago, %d of %s, %s", ago.Round(time.Second), h.Installed, human.Count(h.Wanted, "route", "routes"), h.Mode)
		ok := ago < hostSilent && h.Error == "" && (h.Installed == h.Wanted || h.Mode != "enforce")
		if h.Error != "" {
			text += ": " + h.Error
		}
		switch {
		case h.Name == cfg.Source && h.Blocked:
			own, good = "this host is blocked (f2bc host remove): nothing that it reports counts", false
		case h.Name == cfg.Source:
			own, good = text, ok
		case h.Blocked:
			line(true, "host", "%s: blocked", h.Name)
		case ok:
			others++
		default:
			if lapse := lapsing(h, now); lapse != "" {
				text += "; it " + lapse
			}
			line(false, "host", "%s: synced %s", h.Name, text)
		}
	}
	line(good, "sync", "%s", own)
	if others > 0 {
		line(true, "fleet", "%s well", human.Count(others, "other host syncs", "other hosts sync"))
	}
	return nil
}

// statusDatabase says what is wrong with how the database server is set up.
func (p *process) statusDatabase(ctx context.Context, cfg *config, st *store.Store, line func(bool, string, string, ...any)) {
	if resolves, err := st.ResolvesNames(ctx); err != nil {
		line(false, "server", "%v", err)
	} else if resolves {
		line(false, "server", "%s", namesShieldNothing)
	}
	if lost, err := st.LostProcedures(ctx); err != nil {
		line(false, "server", "%v", err)
	} else if lost {
		line(false, "server", "%v", store.ErrNoProcedures)
	}
	accounts, known, err := st.OldAccounts(ctx)
	switch {
	case err != nil:
		line(false, "grants", "%v", err)
	case len(accounts) > 0:
		line(false, "grants", "older rights, which a thief could abuse, are still held by %s; see f2bc setup mysql --source NAME",
			strings.Join(accounts, ", "))
	case !known && !st.IsOwnAccount():
		line(true, "grants", "not visible to this account; as root: GRANT SELECT ON mysql.tables_priv TO …")
	}
}

const namesShieldNothing = "skip_name_resolve is off: a server's address may be known by a name only, which shields nothing; set it on"
