#!/bin/sh
# Takes the backup: copies the bucket `documents` of $S3_URL into the folder $BACKUP. Made for cron; no drill runs it.
set -eu
export RCLONE_CONFIG=/dev/null RCLONE_CONFIG_LIVE_TYPE=s3 RCLONE_CONFIG_LIVE_PROVIDER=Other
export RCLONE_CONFIG_LIVE_ENDPOINT="$S3_URL" RCLONE_CONFIG_LIVE_ACCESS_KEY_ID="$S3_KEY"
export RCLONE_CONFIG_LIVE_SECRET_ACCESS_KEY="$S3_SECRET"
rclone sync --checksum live:documents "$BACKUP"
