#!/bin/sh
# The user of the image, and an SSH server that this user can run: keys come from the MPI operator, in .ssh.
set -eu
useradd --create-home --home-dir /srv/rooftune --uid 1000 --shell /bin/bash rooftune
cat >/srv/rooftune/.sshd_config <<'END'
Port 2222
HostKey /srv/rooftune/.ssh/id_rsa
PidFile /srv/rooftune/sshd.pid
PasswordAuthentication no
UsePAM no
# The operator's secret is mounted with its own modes.
StrictModes no
END
cat >/etc/ssh/ssh_config.d/rooftune.conf <<'END'
Host *
  Port 2222
  # Pods get new keys with every job.
  StrictHostKeyChecking no
  UserKnownHostsFile /dev/null
  LogLevel ERROR
END
chown rooftune:rooftune /srv/rooftune/.sshd_config
