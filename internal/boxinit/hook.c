#define _GNU_SOURCE
#include "boxinit.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#define HOOK_SOCKET "/.hook"
#define EVENT_MAX (8u << 20)
#define ANSWER_MAX (1u << 20)

/* What the supervisor says: an exit code, and what to write to standard output and standard error. */
struct answer {
	uint32_t code, out, err;
};

static int all_written(int fd, const char *data, size_t len)
{
	while (len > 0) {
		ssize_t n = write(fd, data, len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return 0;
		data += n;
		len -= n;
	}
	return 1;
}

static int all_read(int fd, void *to, size_t len)
{
	for (char *at = to; len > 0;) {
		ssize_t n = read(fd, at, len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return 0;
		at += n;
		len -= n;
	}
	return 1;
}

/* Exit code 2 is the one that the agent takes for a refusal; whatever goes wrong is one. */
static void __attribute__((noreturn)) refuse(const char *why)
{
	static const char before[] = "agentbox refused this tool call: ", after[] = ". Do not repeat it; tell the person that the hook does not work.\n";

	if (all_written(2, before, sizeof before - 1) && all_written(2, why, strlen(why)))
		all_written(2, after, sizeof after - 1);
	_exit(2);
}

/* The supervisor is outside of the box's pid namespace, and has no number here: nothing in the box can take its place. */
static int ask_supervisor(void)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX, .sun_path = HOOK_SOCKET };
	struct timeval patience = { .tv_sec = 30 };
	struct ucred peer;
	socklen_t len = sizeof peer;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || connect(fd, (struct sockaddr *)&at, sizeof at) < 0)
		refuse("nobody is there to decide about it");
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0 || peer.pid != 0)
		refuse("it is not agentbox that would decide about it");
	if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience) < 0 || setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience) < 0)
		refuse("the connection to agentbox cannot be set up");
	return fd;
}

/* Passes on what the agent writes to its hook's standard input, after its length; of more than the supervisor takes, as much
 * as shows that. */
static void pass_event(int fd)
{
	char *event = malloc(EVENT_MAX + 1);
	uint32_t len = 0;

	if (!event)
		refuse("there is no memory for it");
	while (len <= EVENT_MAX) {
		ssize_t n = read(0, event + len, EVENT_MAX + 1 - len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			refuse("the event cannot be read");
		if (n == 0)
			break;
		len += n;
	}
	if (!all_written(fd, (const char *)&len, sizeof len) || !all_written(fd, event, len))
		refuse("the event cannot be passed on");
	free(event);
}

/*
 * The program that the agent's settings name as its hook: it asks the supervisor, says what that says, and tells it so. A
 * supervisor that is not told knows that the agent has seen no answer.
 */
void hook(void)
{
	struct answer a;

	signal(SIGPIPE, SIG_IGN);
	int fd = ask_supervisor();
	pass_event(fd);
	if (!all_read(fd, &a, sizeof a) || a.code > 255 || a.out > ANSWER_MAX || a.err > ANSWER_MAX)
		refuse("agentbox gave no answer");
	char *text = malloc((size_t)a.out + a.err + 1);
	if (!text || !all_read(fd, text, (size_t)a.out + a.err))
		refuse("agentbox gave no answer");
	if (!all_written(1, text, a.out) || !all_written(2, text + a.out, a.err))
		_exit(2);
	if (!all_written(fd, "", 1))
		_exit(2);
	_exit(a.code);
}
