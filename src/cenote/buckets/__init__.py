"""S3's meaning without HTTP: what a bucket's operations do, decided inside one change."""
