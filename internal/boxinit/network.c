#define _GNU_SOURCE
#include "boxinit.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* Sends a descriptor to the supervisor, or why there is none, and closes it. */
static void hand(int channel, int fd, int32_t err)
{
	struct iovec data = { &err, sizeof err };
	union {
		struct cmsghdr head;
		char room[CMSG_SPACE(sizeof(int))];
	} rights = { { 0 } };
	struct msghdr all = { .msg_iov = &data, .msg_iovlen = 1 };

	if (fd >= 0) {
		rights.head = (struct cmsghdr){ .cmsg_len = CMSG_LEN(sizeof fd), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS };
		memcpy(CMSG_DATA(&rights.head), &fd, sizeof fd);
		all.msg_control = &rights;
		all.msg_controllen = sizeof rights;
	}
	while (sendmsg(channel, &all, MSG_NOSIGNAL) < 0 && errno == EINTR)
		;
	if (fd >= 0)
		close(fd);
}

static enum socket_stage stage_of(const char *path)
{
	if (!*path)
		return sockets_unbound;
	return strrchr(path, '/') == path ? sockets_of_root : sockets_on_mounts;
}

/* A socket at a path of the box, which every process there may connect to. */
static int bind_path(int fd, const char *path)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };

	if (strlen(path) >= sizeof at.sun_path)
		return ENAMETOOLONG;
	strcpy(at.sun_path, path);
	if (bind(fd, (struct sockaddr *)&at, sizeof at) < 0 || chmod(path, 0666) < 0)
		return errno;
	return 0;
}

static void hand_new(int channel, int family, int type, int protocol, const char *path)
{
	int fd = socket(family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, protocol);
	int err = fd < 0 ? errno : 0;

	if (!err && *path && (err = bind_path(fd, path))) {
		close(fd);
		fd = -1;
	}
	hand(channel, fd, err);
}

/*
 * The supervisor cannot enter the box's network namespace as an ordinary user. A socket stays in the one where it was
 * made: so it is made here, and bound, configured and served from outside. The box's root is the working directory until it
 * is in its place.
 */
void network_sockets(const struct instructions *in, enum socket_stage stage)
{
	for (size_t i = 0; i < in->sockets.len; i++) {
		const struct socket_wanted *s = in->sockets.items[i];

		if (stage_of(s->path) == stage)
			hand_new(*in->network, s->family, s->type, s->protocol, s->path + (stage == sockets_of_root));
	}
}

/* One more socket, for a connection into the box; 0 when the supervisor asks for no more. */
int network_request(int channel)
{
	uint32_t family;
	ssize_t n = recv(channel, &family, sizeof family, MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 1;
	if (n != sizeof family || (family != AF_INET && family != AF_INET6))
		return 0;
	hand_new(channel, family, SOCK_STREAM, 0, "");
	return 1;
}
