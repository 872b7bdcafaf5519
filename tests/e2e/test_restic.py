"""restic: a repository in a bucket is written, read back in full, restored and pruned."""

import filecmp
import random

import pytest

pytestmark = pytest.mark.e2e


@pytest.fixture
def restic(need_program, endpoint, run, bucket):
    program = need_program("restic", "apt-get install restic")
    extra = {
        "RESTIC_REPOSITORY": f"s3:{endpoint.url}/{bucket}/backups",
        "RESTIC_PASSWORD": "a password for a test",
        "RESTIC_PROGRESS_FPS": "0.1",
    }

    def call(*words, **options):
        return run([program, "--no-cache", *words], extra=extra, **options)

    return call


def test_backup_check_restore_and_prune(restic, s3, bucket, tmp_path) -> None:
    tree = tmp_path / "tree"
    rng = random.Random(4)
    for number in range(30):
        path = tree / f"dir{number % 3}" / f"file{number}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(rng.randbytes(rng.choice([0, 100, 50_000, 700_000])))
    restic("init")
    restic("backup", tree)
    (tree / "dir0" / "file0").write_bytes(rng.randbytes(300_000))
    (tree / "dir1" / "file1").unlink()
    restic("backup", tree)
    assert "no errors were found" in restic("check", "--read-data")
    restic("restore", "latest", "--target", tmp_path / "restored")
    restored = tmp_path / "restored" / str(tree).lstrip("/")
    names = [str(p.relative_to(tree)) for p in tree.rglob("*") if p.is_file()]
    assert {str(p.relative_to(restored)) for p in restored.rglob("*") if p.is_file()} == set(names)
    assert filecmp.cmpfiles(tree, restored, names, shallow=False)[0] == names
    restic("forget", "--keep-last", "1", "--prune")
    assert "no errors were found" in restic("check", "--read-data")
    # A lock is an object that is created and then deleted: none may be left behind.
    assert "Contents" not in s3.list_objects_v2(Bucket=bucket, Prefix="backups/locks/")
