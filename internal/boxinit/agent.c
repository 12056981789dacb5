#define _GNU_SOURCE
#include "boxinit.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/close_range.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <linux/securebits.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef SECCOMP_FILTER_FLAG_SPEC_ALLOW
#define SECCOMP_FILTER_FLAG_SPEC_ALLOW (1UL << 2)
#endif

#ifndef SECCOMP_FILTER_FLAG_NEW_LISTENER
#define SECCOMP_FILTER_FLAG_NEW_LISTENER (1UL << 3)
#endif
#ifndef SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
#define SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV (1UL << 5)
#endif

extern char **environ;

/*
 * The streams are pipes and a terminal that the supervisor made for this box; the agent owns them, so that
 * /dev/stdout can be opened again. Everything else (the host's /dev/null) keeps its owner.
 */
static void own_streams(struct report *r, const struct ids *ids)
{
	r->step = STEP_STREAMS;
	for (int fd = 0; fd <= 2; fd++) {
		struct stat st;
		if (fstat(fd, &st) < 0)
			die(r, errno);
		int ours = S_ISFIFO(st.st_mode) || isatty(fd);
		int owned = st.st_uid == ids->outer_uid && st.st_gid == ids->outer_gid;
		if (ours && !owned && fchown(fd, ids->outer_uid, ids->outer_gid) < 0)
			die(r, errno);
	}
}

static int write_proc(pid_t pid, const char *file, const char *text)
{
	char path[64];

	snprintf(path, sizeof path, "/proc/%d/%s", pid, file);
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return errno;
	ssize_t n = write(fd, text, strlen(text));
	int err = n < 0 ? errno : n != (ssize_t)strlen(text) ? EIO : 0;
	close(fd);
	return err;
}

/* The maps of the agent's namespace, written by itself or by a process that stayed in the box's. */
static int write_maps(pid_t pid, const struct ids *ids)
{
	char uids[96], gids[96];
	const char *root = ids->flags & FLAG_INNER_ROOT ? "0 1 1\n" : "";

	snprintf(uids, sizeof uids, "%s%u %u 1\n", root, ids->uid, ids->outer_uid);
	snprintf(gids, sizeof gids, "%s%u %u 1\n", root, ids->gid, ids->outer_gid);
	int err = 0;
	if (!(ids->flags & FLAG_INNER_ROOT))
		err = write_proc(pid, "setgroups", "deny");
	if (!err)
		err = write_proc(pid, "uid_map", uids);
	return err ? err : write_proc(pid, "gid_map", gids);
}

/*
 * An ordinary user's box has the caller as its root, because libcontainer cannot start one otherwise. So the agent
 * gets a user namespace of its own in which the caller is an ordinary id: Claude Code and others refuse to run as
 * uid 0. user_namespaces(7): a map of more than one's own id takes a writer with CAP_SETUID in the parent
 * namespace, hence the helper, and mapping the parent's root takes CAP_SETFCAP there (Linux 5.12).
 */
static void nested_userns(struct report *r, const struct ids *ids)
{
	int pair[2], err = 0, status;
	pid_t self = getpid();

	r->step = STEP_USERNS;
	if (!(ids->flags & FLAG_INNER_ROOT)) {
		if (unshare(CLONE_NEWUSER) < 0)
			die(r, errno);
		if ((err = write_maps(self, ids)))
			die(r, err);
		return;
	}
	if (pipe2(pair, O_CLOEXEC) < 0)
		die(r, errno);
	pid_t helper = fork();
	if (helper < 0)
		die(r, errno);
	if (helper == 0) {
		char go;
		close(pair[1]);
		if (read(pair[0], &go, 1) != 1)
			_exit(EPIPE);
		_exit(write_maps(self, ids));
	}
	close(pair[0]);
	if (unshare(CLONE_NEWUSER) < 0)
		die(r, errno);
	if (write(pair[1], "", 1) != 1)
		die(r, errno);
	close(pair[1]);
	if (waitpid(helper, &status, 0) != helper || !WIFEXITED(status))
		die(r, ECHILD);
	if (WEXITSTATUS(status))
		die(r, WEXITSTATUS(status));
}

static void drop_bounding(struct report *r)
{
	r->step = STEP_BOUNDING;
	for (int cap = 0; cap < 64; cap++) {
		if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) == 0)
			continue;
		if (errno == EINVAL && cap > CAP_CHECKPOINT_RESTORE)
			break; /* past the kernel's last capability */
		die(r, errno);
	}
	if (prctl(PR_SET_SECUREBITS, SECBIT_NOROOT | SECBIT_NOROOT_LOCKED | SECBIT_NO_SETUID_FIXUP_LOCKED |
		  SECBIT_KEEP_CAPS_LOCKED | SECBIT_NO_CAP_AMBIENT_RAISE | SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED, 0, 0, 0) < 0)
		die(r, errno);
}

static void take_ids(struct report *r, const struct ids *ids)
{
	r->step = STEP_IDS;
	/* A namespace that an ordinary user mapped by itself denies setgroups(2); doctor names what stays. */
	int keep = (ids->flags & (FLAG_NESTED | FLAG_INNER_ROOT)) == FLAG_NESTED;
	if (!keep && setgroups(0, NULL) < 0)
		die(r, errno);
	if (setresgid(ids->gid, ids->gid, ids->gid) < 0 || setresuid(ids->uid, ids->uid, ids->uid) < 0)
		die(r, errno);
	umask(ids->umask);
}

static void drop_caps(struct report *r)
{
	struct __user_cap_header_struct head = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct none[2] = { { 0 } };

	r->step = STEP_CAPS;
	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0)
		die(r, errno);
	if (syscall(SYS_capset, &head, none) < 0)
		die(r, errno);
}

/* What it returns is of no meaning without a listener among the flags. */
int filter_load(struct report *r, const struct filter *f, unsigned int flags)
{
	struct sock_fprog prog = { f->bytes / sizeof(struct sock_filter), (struct sock_filter *)f->code };

	r->step = flags & SECCOMP_FILTER_FLAG_NEW_LISTENER ? STEP_PROGRAMS : STEP_SECCOMP;
	if (!f->code)
		return -1; /* the profile lets the layer go by name; launch says so */
	int fd = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_SPEC_ALLOW | flags, &prog);
	if (fd < 0)
		die(r, errno);
	return fd;
}

/*
 * The filter asks the supervisor before each program, the agent's own included: so it has to have the listener first. A
 * supervisor that is a Go program gets signals all the time; once it has read a question, they do not have it asked again.
 */
static void agent_filter(struct report *r, const struct instructions *in)
{
	struct message m = { .kind = EVENT_LISTENER };

	if (!(in->ids->flags & FLAG_PROGRAMS)) {
		filter_load(r, &in->agent, 0);
		return;
	}
	int fd = filter_load(r, &in->agent, SECCOMP_FILTER_FLAG_NEW_LISTENER | SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV);
	if (fd < 0)
		die(r, ENOSYS);
	send_with(r->fd, &m, fd);
	close(fd);
}

static void reset_signals(void)
{
	struct sigaction dfl = { .sa_handler = SIG_DFL };
	sigset_t none;

	for (int s = 1; s < NSIG; s++)
		sigaction(s, &dfl, NULL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

/* The last steps before the agent's first instruction. Each one fails closed. */
void become_agent(struct report *r, const struct instructions *in)
{
	const struct ids *ids = in->ids;

	own_streams(r, ids);
	if (ids->flags & FLAG_NESTED)
		nested_userns(r, ids);
	drop_bounding(r);
	take_ids(r, ids);
	drop_caps(r);
	take_limits(r, in);

	r->step = STEP_CWD;
	if (chdir(in->cwd) < 0)
		die(r, errno);
	r->step = STEP_NNP;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		die(r, errno);
	/* Only here: a change of ids clears it, see PR_SET_PDEATHSIG(2const). */
	if (ids->flags & FLAG_DIE_WITH_PARENT && prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0)
		die(r, errno);
	landlock_enter(r, in);

	/* CVE-2024-21626: nothing but the three streams may pass. */
	r->step = STEP_DESCRIPTORS;
	if (syscall(SYS_close_range, 3u, ~0u, CLOSE_RANGE_CLOEXEC) < 0)
		die(r, errno);
	reset_signals();
	agent_filter(r, in);

	r->step = STEP_EXEC;
	environ = (char **)in->env.items;
	execvp(in->argv.items[0], (char **)in->argv.items);
	die(r, errno);
}
