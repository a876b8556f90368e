// Package commands is the command line: one file a subcommand, each with its flags, a short action that parses them
// into an options struct, and a run that does the work.
//
//	fail2ban, cron, people ──> commands ──┬──> store      facts in, the active list out
//	                                      ├──> aggregate  prefixes merged, allows carved out
//	                                      └──> routes     the kernel made equal to the list
//
// The rooms know nothing of each other; what they exchange, netip.Prefix, passes through here.
package commands

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime/debug"
	"strings"

	"github.com/urfave/cli/v2"

	"f2bc/commands/neverban"
	"f2bc/store"
	"f2bc/store/state"
)

// version is set by the linker in a release; otherwise the build's own record is used.
var version = ""

const description = `f2bc joins the fail2ban installations of many servers into one list of bans, kept in a
central MySQL-compatible database, or in an embedded one where there is a single machine.

Flags come before arguments. PREFIX is an address or CIDR, IPv4 or IPv6; - reads them from
standard input, one a line, # begins a comment.

Exit codes:
   0    done; for ban and unban --own also: kept on this host until the store takes it
   1    failed
   2    usage, invalid input or invalid configuration; the valid prefixes of the call are done
   3    refused: at least one prefix must never be banned
   4    sync-routes --check found a difference
   130  interrupted`

// The kinds of failure that have an exit code of their own; every other error is 1.
var (
	errUsage   = errors.New("usage")
	errInvalid = errors.New("invalid input")
	errRefused = neverban.ErrRefused
	errDrift   = errors.New("drift")

	errInterrupted = fmt.Errorf("interrupted: %w", context.Canceled) // by a signal
)

// errSaid stands for an error whose message has been printed.
var errSaid = errors.New("said")

// kindError gives an error its kind without putting the kind's name into the message.
type kindError struct {
	kind error
	error
}

func (e kindError) Is(target error) bool { return target == e.kind }
func (e kindError) Unwrap() error        { return e.error }

func usagef(format string, args ...any) error {
	return kindError{errUsage, fmt.Errorf(format, args...)}
}
func invalidf(format string, args ...any) error {
	return kindError{errInvalid, fmt.Errorf(format, args...)}
}
func refusedf(format string, args ...any) error {
	return kindError{errRefused, fmt.Errorf(format, args...)}
}

func exitCode(err error) int {
	switch {
	case err == nil:
		return 0
	case errors.Is(err, errInterrupted):
		return 130
	case errors.Is(err, errUsage), errors.Is(err, errInvalid), errors.Is(err, neverban.ErrInvalid),
		errors.Is(err, state.ErrNone), errors.Is(err, state.ErrNotOurs):
		return 2
	case errors.Is(err, errRefused):
		return 3
	case errors.Is(err, errDrift):
		return 4
	}
	return 1
}

// process is what a command gets from outside.
type process struct {
	place place
	stdin io.Reader
	out   *output
}

// Run runs the command line args, args[0] being the program, and returns its exit code.
func Run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	p := &process{place: here(), stdin: stdin, out: newOutput(stdout, stderr)}
	defer p.out.close()
	return p.run(ctx, p.app(), args)
}

func (p *process) run(ctx context.Context, app *cli.App, args []string) int {
	err := app.RunContext(ctx, args)
	if ctx.Err() != nil && err != nil {
		err = errInterrupted
	}
	if err == nil {
		err = p.out.failed()
	}
	if err != nil && !errors.Is(err, errSaid) {
		p.out.fail(err)
	}
	return exitCode(err)
}

func (p *process) app() *cli.App {
	app := &cli.App{
		Name:            "f2bc",
		Usage:           "one list of bans for many fail2ban servers",
		Description:     description,
		Version:         versionText(),
		Flags:           globalFlags(),
		Writer:          p.out.stdout,
		ErrWriter:       p.out.stderr,
		HideHelpCommand: true,
		Commands: []*cli.Command{
			p.initCommand(),
			p.banCommand(),
			p.unbanCommand(),
			p.listCommand(),
			p.allowCommand(),
			p.exportCommand(),
			p.syncRoutesCommand(),
			p.import3CXCommand(),
			p.hostCommand(),
			p.statusCommand(),
			p.pauseCommand(),
			p.resumeCommand(),
			p.pruneCommand(),
			p.setupCommand(),
			p.configCommand(),
		},
		Action: p.noCommand,
		// Without these two, cli.Exit would end the process inside Run, and usage errors print the help on stdout.
		ExitErrHandler: func(*cli.Context, error) {},
		OnUsageError:   onUsageError,
	}
	for _, c := range app.Commands {
		finish(c.Name, c)
	}
	return app
}

// finish gives a command, and those below it, what all commands have. name is that of the uppermost.
func finish(name string, c *cli.Command) {
	c.HideHelpCommand = true // otherwise `f2bc ban help` prints the help and exits 0
	c.OnUsageError = onUsageError
	for _, sub := range c.Subcommands {
		finish(name, sub)
	}
	if len(c.Subcommands) == 0 {
		action := limited(name, c.Action)
		c.Action = func(ctx *cli.Context) error {
			if err := flagsAfterArguments(ctx); err != nil {
				return err
			}
			return action(ctx)
		}
	}
}

// configured is the action of a command: check looks at its flags and arguments, then run gets the configuration.
func (p *process) configured(check func(*cli.Context) error, run func(context.Context, *config) error) cli.ActionFunc {
	return func(c *cli.Context) error {
		if err := check(c); err != nil {
			return err
		}
		cfg, err := p.configure(c)
		if err != nil {
			return err
		}
		return run(c.Context, cfg)
	}
}

// stored is configured for a command that needs the store.
func (p *process) stored(check func(*cli.Context) error, run func(context.Context, *config, *store.Store) error) cli.ActionFunc {
	return p.configured(check, func(ctx context.Context, cfg *config) error {
		st, err := p.openStore(ctx, cfg)
		if err != nil {
			return err
		}
		defer st.Close()
		return run(ctx, cfg, st)
	})
}

func onUsageError(c *cli.Context, err error, _ bool) error {
	return usagef("%w; see %s --help", err, commandName(c))
}

// noCommand is the action of f2bc itself and of the commands that only hold others.
func (p *process) noCommand(c *cli.Context) error {
	if c.Args().Present() {
		return usagef("unknown command %q; see %s --help", c.Args().First(), commandName(c))
	}
	return usagef("no command given; see %s --help", commandName(c))
}

// flagsAfterArguments refuses what urfave/cli would silently take as arguments. A first argument that begins with a
// dash was written after --, so then all of them are arguments.
func flagsAfterArguments(c *cli.Context) error {
	args := c.Args().Slice()
	if len(args) == 0 || isFlag(args[0]) {
		return nil
	}
	for _, arg := range args[1:] {
		if isFlag(arg) {
			return usagef("flag %s stands after an argument, flags come first: %s %s … %s", arg, commandName(c), arg, args[0])
		}
	}
	return nil
}

func isFlag(arg string) bool { return len(arg) > 1 && arg[0] == '-' }

// noArguments is for commands that take none.
func noArguments(c *cli.Context) error {
	if c.Args().Present() {
		return usagef("unexpected argument %q; see %s --help", c.Args().First(), commandName(c))
	}
	return nil
}

func commandName(c *cli.Context) string {
	if c.Command == nil || c.Command.HelpName == "" {
		return "f2bc"
	}
	return c.Command.HelpName
}

func versionText() string {
	if version != "" {
		return version
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	return strings.Trim(strings.TrimPrefix(info.Main.Version, "v"), "()")
}
