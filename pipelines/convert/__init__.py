"""The published checkpoint of CRS-Diff as folders that `rsaug.pipelines` loads."""
