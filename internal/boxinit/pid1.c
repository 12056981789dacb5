#define _GNU_SOURCE
#include "boxinit.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static void send_message(int fd, enum event kind, uint32_t step, int32_t value, const char *detail)
{
	struct message m = { .kind = kind, .step = step, .value = value };

	if (detail)
		strncpy(m.detail, detail, DETAIL_SIZE - 1);
	while (send(fd, &m, sizeof m, MSG_NOSIGNAL) < 0 && errno == EINTR)
		;
}

void die(struct report *r, int err)
{
	send_message(r->fd, EVENT_FAILED, r->step, err, r->detail);
	_exit(125);
}

/* Directories on the box's own tmpfs that belong to the agent. */
void box_directories(struct report *r, const struct instructions *in)
{
	r->step = STEP_HOME;
	mode_t old = umask(0);
	for (size_t i = 0; i < in->dirs.len; i++) {
		const struct dir *d = in->dirs.items[i];

		r->detail = d->path;
		if (mkdir(d->path, d->mode) < 0 && errno != EEXIST)
			die(r, errno);
		if (lchown(d->path, d->uid, d->gid) < 0 || chmod(d->path, d->mode) < 0)
			die(r, errno);
	}
	r->detail = NULL;
	umask(old);
}

/* The agent to be, which waits at a gate until its box is ready. */
struct agent {
	pid_t pid;
	int gate;
};

static void agent_side(int gate, const struct instructions *in)
{
	struct report r = { gate, STEP_GROUP, NULL };
	char go;

	close(FD_CONTROL);
	if (in->network)
		close(*in->network);
	join_groups(&r, in);
	r.step = STEP_TERMINAL;
	/* As a shell starts a job: a group of its own below a session leader, so that Ctrl-Z stops it. */
	if (setpgid(0, 0) < 0)
		die(&r, errno);
	if (recv(gate, &go, sizeof go, 0) != sizeof go)
		_exit(125); /* PID 1 is gone */
	if (in->ids->flags & FLAG_TERMINAL && tcsetpgrp(0, getpid()) < 0)
		die(&r, errno);
	become_agent(&r, in);
}

/*
 * It is forked before the mounts are made: the supervisor may need milliseconds to put it into a control group of
 * version 2 (see cgroup_threadgroup_rwsem in the kernel), and those pass meanwhile. The gate is a socket that the
 * agent's exec closes: end of file says that it runs.
 */
static struct agent fork_agent(struct report *r, const struct instructions *in)
{
	int pair[2];

	r->step = STEP_FORK;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		die(r, errno);
	pid_t child = fork();
	if (child < 0)
		die(r, errno);
	if (child == 0) {
		close(pair[0]);
		agent_side(pair[1], in);
	}
	close(pair[1]);
	for (size_t i = 0; i < in->groups.len; i++)
		close(*(const uint32_t *)in->groups.items[i]);
	/* Before all that takes time: the supervisor works on them meanwhile. */
	network_sockets(in, sockets_unbound);
	if (in->ids->flags & FLAG_HELD)
		send_message(FD_CONTROL, EVENT_FORKED, 0, child, NULL);
	return (struct agent){ child, pair[0] };
}

/* Waits for the supervisor's word: the limits hold, the start is on the record. */
static void await_release(struct report *r)
{
	struct command c;
	ssize_t n;

	r->step = STEP_GROUP;
	while ((n = recv(FD_CONTROL, &c, sizeof c, 0)) < 0 && errno == EINTR)
		;
	if (n != sizeof c)
		_exit(137);
	if (c.signal != 0)
		die(r, EBADMSG);
}

/* Sends a message with a descriptor. */
void send_with(int to, struct message *m, int fd)
{
	struct iovec data = { m, sizeof *m };
	union {
		struct cmsghdr head;
		char room[CMSG_SPACE(sizeof(int))];
	} rights = { { 0 } };
	struct msghdr all = { .msg_iov = &data, .msg_iovlen = 1, .msg_control = &rights, .msg_controllen = sizeof rights };

	rights.head = (struct cmsghdr){ .cmsg_len = CMSG_LEN(sizeof fd), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS };
	memcpy(CMSG_DATA(&rights.head), &fd, sizeof fd);
	while (sendmsg(to, &all, MSG_NOSIGNAL) < 0)
		if (errno != EINTR)
			_exit(125);
}

/* Receives one; fd is -1 where none came along. Its result is that of recvmsg(2). */
static ssize_t receive_with(int from, struct message *m, int *fd)
{
	struct iovec data = { m, sizeof *m };
	union {
		struct cmsghdr head;
		char room[CMSG_SPACE(sizeof(int))];
	} rights = { { 0 } };
	struct msghdr all = { .msg_iov = &data, .msg_iovlen = 1, .msg_control = &rights, .msg_controllen = sizeof rights };
	ssize_t n;

	*fd = -1;
	while ((n = recvmsg(from, &all, MSG_CMSG_CLOEXEC)) < 0 && errno == EINTR)
		;
	if (n > 0 && all.msg_controllen >= CMSG_LEN(sizeof *fd) && rights.head.cmsg_type == SCM_RIGHTS)
		memcpy(fd, CMSG_DATA(&rights.head), sizeof *fd);
	return n;
}

/* Hands a directory to the supervisor, and waits until it has filled it. */
void share(struct report *r, int fd)
{
	struct message m = { .kind = EVENT_SHARED };
	enum step step = r->step;

	send_with(FD_CONTROL, &m, fd);
	await_release(r);
	r->step = step;
}

static void release(struct report *r, struct agent a)
{
	struct message m;
	ssize_t n;
	int fd;

	r->step = STEP_FORK;
	if (send(a.gate, "", 1, MSG_NOSIGNAL) != 1 && errno != EPIPE)
		die(r, errno);
	while ((n = receive_with(a.gate, &m, &fd)) == sizeof m && m.kind == EVENT_LISTENER) {
		if (fd < 0)
			die(r, EBADMSG);
		send_with(FD_CONTROL, &m, fd);
		close(fd);
	}
	close(a.gate);
	if (n == sizeof m) {
		r->step = m.step;
		r->detail = m.detail;
		die(r, m.value);
	}
}

/* What is left of PID 1 needs nothing but to signal processes of another uid. */
static void shed(struct report *r, const struct instructions *in)
{
	struct __user_cap_header_struct head = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct kill_only[2] = { { 0 } };

	r->step = STEP_PROTECT;
	for (int fd = 0; fd <= 2; fd++)
		close(fd);
	if (open("/dev/null", O_RDWR) != 0 || dup(0) != 1 || dup(0) != 2)
		die(r, errno);
	if (chdir("/") < 0)
		die(r, errno);
	kill_only[0].effective = kill_only[0].permitted = 1u << CAP_KILL;
	if (syscall(SYS_capset, &head, kill_only) < 0)
		die(r, errno);
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		die(r, errno);
	filter_load(r, &in->init, 0);
}

/* Reaps what ended; leaves when it was the agent, and the kernel ends the rest of the pid namespace. */
static void reap(pid_t agent)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG | WUNTRACED | WCONTINUED)) > 0) {
		if (pid != agent)
			continue;
		if (WIFSTOPPED(status)) {
			send_message(FD_CONTROL, EVENT_STOPPED, 0, WSTOPSIG(status), NULL);
		} else if (WIFCONTINUED(status)) {
			send_message(FD_CONTROL, EVENT_CONTINUED, 0, 0, NULL);
		} else {
			send_message(FD_CONTROL, EVENT_EXITED, 0, status, NULL);
			_exit(0);
		}
	}
}

static void obey(pid_t agent)
{
	struct command c;
	ssize_t n = recv(FD_CONTROL, &c, sizeof c, MSG_DONTWAIT);

	if (n == sizeof c)
		kill(c.to == TO_ALL ? -1 : c.to == TO_GROUP ? -agent : agent, c.signal);
	else if (n >= 0 || (errno != EAGAIN && errno != EINTR))
		_exit(137); /* the supervisor is gone: so is the box */
}

static void forward(int signals, pid_t agent)
{
	struct signalfd_siginfo info;

	if (read(signals, &info, sizeof info) != sizeof info)
		return;
	switch (info.ssi_signo) {
	case SIGCHLD:
		reap(agent);
		return;
	case SIGTERM:
	case SIGINT:
	case SIGQUIT:
	case SIGUSR1:
	case SIGUSR2:
		/* Only from outside: ssi_pid is 0 for a sender whom this namespace cannot name. */
		if (info.ssi_pid == 0)
			kill(agent, info.ssi_signo);
	}
}

void pid1(struct report *r, const struct instructions *in)
{
	sigset_t all;

	r->step = STEP_PROTECT;
	sigfillset(&all);
	if (sigprocmask(SIG_SETMASK, &all, NULL) < 0)
		die(r, errno);
	int signals = signalfd(-1, &all, SFD_CLOEXEC | SFD_NONBLOCK);
	if (signals < 0 || fcntl(FD_CONTROL, F_SETFD, FD_CLOEXEC) < 0)
		die(r, errno);
	struct agent started = fork_agent(r, in);
	pid_t agent = started.pid;
	box_root(r, in);
	box_mounts(r, in);
	box_directories(r, in);
	box_seeds(r, in);
	network_sockets(in, sockets_on_mounts);
	if (in->ids->flags & FLAG_HELD)
		await_release(r);
	release(r, started);
	shed(r, in);
	send_message(FD_CONTROL, EVENT_RUNNING, 0, agent, NULL);
	struct pollfd fds[3] = { { FD_CONTROL, POLLIN, 0 }, { signals, POLLIN, 0 }, { in->network ? (int)*in->network : -1, POLLIN, 0 } };
	reap(agent);
	for (;;) {
		if (poll(fds, 3, -1) < 0 && errno != EINTR)
			_exit(137);
		if (fds[2].revents && !network_request(fds[2].fd))
			fds[2].fd = -1;
		if (fds[1].revents)
			forward(signals, agent);
		if (fds[0].revents)
			obey(agent);
	}
}

/*
 * Runs before the Go runtime, which would cost a millisecond and leave threads that make fork(2) unsafe. The
 * name is the path at which launch mounts the binary inside the box, and nobody else uses it.
 */
__attribute__((constructor(101))) static void boxinit(int argc, char **argv)
{
	struct report r = { FD_CONTROL, STEP_PROTECT, NULL };
	struct instructions in = { 0 };

	if (argc != 2 || strcmp(argv[0], "/.agentbox") != 0)
		return;
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		die(&r, errno);
	if (strcmp(argv[1], "hold") == 0) {
		char end;
		_exit(read(0, &end, 1) != 0);
	}
	if (strcmp(argv[1], "hook") == 0)
		hook();
	instructions_read(&r, &in);
	if (strcmp(argv[1], "pid1") == 0)
		pid1(&r, &in);
	if (strcmp(argv[1], "join") == 0) {
		if (fcntl(FD_CONTROL, F_SETFD, FD_CLOEXEC) < 0)
			die(&r, errno);
		join_groups(&r, &in);
		if (in.ids->flags & FLAG_HELD) {
			send_message(FD_CONTROL, EVENT_FORKED, 0, getpid(), NULL);
			await_release(&r);
		}
		become_agent(&r, &in);
	}
	r.step = STEP_INSTRUCTIONS;
	die(&r, EINVAL);
}
